//! Names behind which a person stands: of properties, items' keys, and parameters of URLs.
//!
//! A name counts in any case and with any punctuation, with words in front (`customerEmail`,
//! `billing_phone`) and a number behind (`phone2`), by the names that other senders use
//! ([`field::named`]), and in the languages that shops write: English, German, French, Spanish,
//! Italian, Portuguese, Dutch and Polish. The tests below have a table of both kinds.

use unicode_normalization::UnicodeNormalization as _;

use crate::field::{self, Class};

/// Where a name stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Of a property of `custom`.
    Property,
    /// Of an item of `contents`, whose own name and address are a product's.
    Item,
    /// Of a parameter in a URL.
    Parameter,
}

/// Fields that are one person's by name, whatever words stand in front: `billing_phone`. A
/// `store_city` is none.
const PERSONAL: [&str; 5] = ["email", "phone", "first_name", "last_name", "date_of_birth"];

/// The shortest name that counts behind other words: `fn` would be found too often.
const SHORTEST_LAST_WORD: usize = 3;

/// Longer names are no names; this bounds the work.
const LONGEST_NAME: usize = 128;

/// Most words that make one name, as in `numero de telefono`.
const MOST_WORDS: usize = 4;

/// What a name means, and whether there is nothing else to it.
///
/// `parent` is the name of the object that it stands in: the `name` of a `customer` is a person's.
pub(super) fn identifier(name: &str, parent: &str, place: Place) -> Option<(&'static str, bool)> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    if place != Place::Item
        && let Some(field) = field::named(name)
        && tells(field.class, place)
    {
        return Some((field.name, true));
    }
    let mut words = words(name);
    while words.len() > 1 && words.last().is_some_and(|word| is_decoration(word)) {
        words.pop();
    }
    for n in 1..=words.len().min(MOST_WORDS) {
        let (front, last) = words.split_at(words.len() - n);
        let (before, last) = (front.last().map(String::as_str), last.concat());
        let is_field = || {
            let field = field::named(&last).filter(|_| last.len() >= SHORTEST_LAST_WORD)?;
            PERSONAL.contains(&field.name).then_some(field.name)
        };
        let found = is_field().or_else(|| word(&last)).or_else(|| match () {
            () if is_address(&last) => {
                let fits = match before {
                    Some(before) => {
                        !is_of_a_place(before) && (place != Place::Item || is_role(before))
                    }
                    None => place != Place::Item,
                };
                fits.then_some("address")
            }
            () if is_name(&last) => {
                let is_persons = match before {
                    Some(before) => is_role(before),
                    None => place == Place::Parameter || is_person(parent),
                };
                is_persons.then_some("name")
            }
            () => None,
        });
        if let Some(found) = found {
            return Some((found, false));
        }
    }
    None
}

/// Whether the values of a class tell who somebody is. Ids of browsers and clicks stand in URLs by
/// their nature.
fn tells(class: Class, place: Place) -> bool {
    class == Class::Digest || (class == Class::Clear && place != Place::Parameter)
}

/// The words of a name such as `customerEmail`, `customer[email]` or `phone2`: in lower case,
/// without accents, digits apart.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut was_lower, mut was_digit) = (false, false);
    for c in name.nfd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)) {
        let is_digit = c.is_numeric();
        if !c.is_alphanumeric() || (was_lower && c.is_uppercase()) || is_digit != was_digit {
            words.push(String::new());
        }
        (was_lower, was_digit) = (c.is_lowercase(), is_digit);
        if let Some(word) = words.last_mut()
            && c.is_alphanumeric()
        {
            match c {
                'ß' => word.push_str("ss"),
                'ł' | 'Ł' => word.push('l'),
                'ø' | 'Ø' => word.push('o'),
                c => word.extend(c.to_lowercase()),
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What may stand behind a name without changing it: `phone_2`, `email_raw`, `phone_e164`.
fn is_decoration(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit())
        || matches!(
            word,
            "raw"
                | "text"
                | "plain"
                | "confirm"
                | "confirmation"
                | "primary"
                | "secondary"
                | "home"
                | "work"
                | "private"
                | "formatted"
                | "national"
                | "e"
        )
}

/// Words that mean an identifier wherever they stand last.
fn word(last: &str) -> Option<&'static str> {
    Some(match last {
        "emailid"
        | "mailid"
        | "emails"
        | "mailaddress"
        | "mailadresse"
        | "emailadresse"
        | "correo"
        | "correoelectronico"
        | "courriel"
        | "adressemail"
        | "adresseemail"
        | "adresseelectronique"
        | "postaelettronica"
        | "indirizzoemail"
        | "enderecoemail"
        | "emailadres"
        | "mailadres"
        | "adresemail"
        | "adresmail"
        | "epost" => "email",
        "phones" | "phoneno" | "phonenr" | "telephonenumber" | "telno" | "telnr" | "telnumber"
        | "telefon" | "telefonnummer" | "telefonnr" | "telefono" | "telefone" | "telefoon"
        | "telefoonnummer" | "telefonu" | "telefony" | "numertelefonu" | "numerotelefono"
        | "numerodetelefono" | "numerotelephone" | "numerodetelephone" | "numerotelefone"
        | "numerodetelefone" | "numtelephone" | "msisdn" | "rufnummer" | "handy"
        | "handynummer" | "mobil" | "mobilnummer" | "mobiltelefon" | "mobileno" | "mobilephone"
        | "movil" | "telefonomovil" | "numeromovil" | "celular" | "cellulare" | "telemovel"
        | "cellphone" | "cellnumber" | "gsm" | "komorka" | "mobiel" | "contactnumber"
        | "contactno" | "whatsappnumber" | "fax" | "faxnumber" | "telefax" => "phone",
        "fullname" | "username" | "nickname" | "middlename" | "maidenname" | "realname"
        | "cardholder" | "namn" | "nomcomplet" | "nombrecompleto" | "nombreyapellido"
        | "nombreyapellidos" | "nomecompleto" | "nomecognome" | "nomeecognome"
        | "volledigenaam" | "imieinazwisko" | "imienazwisko" | "kundenname" | "benutzername"
        | "kontaktname" | "empfangername" | "empfaengername" | "razonsocial" => "name",
        "vorname" | "prenom" | "voornaam" | "imie" | "primernombre" | "primeironome" => {
            "first_name"
        }
        "nachname" | "zuname" | "familienname" | "nomdefamille" | "nomfamille" | "apellido"
        | "apellidos" | "cognome" | "apelido" | "sobrenome" | "achternaam" | "nazwisko"
        | "maternalname" => "last_name",
        "birthdate" | "dateofbirth" | "geburtsdatum" | "geburtstag" | "datenaissance"
        | "datedenaissance" | "fechanacimiento" | "fechadenacimiento" | "datanascita"
        | "datadinascita" | "datanascimento" | "datadenascimento" | "geboortedatum"
        | "dataurodzenia" => "date_of_birth",
        "ssn"
        | "socialsecuritynumber"
        | "iban"
        | "pesel"
        | "cpf"
        | "codicefiscale"
        | "steuerid"
        | "nationalid"
        | "passport"
        | "passportnumber"
        | "passportno"
        | "creditcard"
        | "creditcardnumber"
        | "cardnumber" => "number_of_a_person",
        // Written without a mark between the words.
        _ if last.len() > 6 && last.ends_with("email") => "email",
        _ if ends_with(last, &["telefon", "telefonnummer", "phonenumber", "telephone"]) => "phone",
        _ if ends_with(
            last,
            &["customername", "fullname", "firstname", "lastname", "username"],
        ) =>
        {
            "name"
        }
        _ => return None,
    })
}

fn ends_with(word: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| word.ends_with(end))
}

/// Words for where somebody lives.
fn is_address(last: &str) -> bool {
    matches!(
        last,
        "address"
            | "addresses"
            | "addr"
            | "addressline"
            | "street"
            | "streetaddress"
            | "streetname"
            | "streetnumber"
            | "housenumber"
            | "postaladdress"
            | "adresse"
            | "anschrift"
            | "strasse"
            | "hausnummer"
            | "lieferadresse"
            | "rechnungsadresse"
            | "lieferanschrift"
            | "rue"
            | "direccion"
            | "calle"
            | "domicilio"
            | "indirizzo"
            | "endereco"
            | "morada"
            | "rua"
            | "adres"
            | "straat"
            | "straatnaam"
            | "huisnummer"
            | "ulica"
            | "numerdomu"
    )
}

/// Whose address is no person's.
fn is_of_a_place(word: &str) -> bool {
    matches!(
        word,
        "store"
            | "shop"
            | "web"
            | "site"
            | "warehouse"
            | "branch"
            | "pickup"
            | "wallet"
            | "mac"
            | "server"
            | "company"
            | "hotel"
            | "venue"
            | "event"
            | "office"
            | "filial"
            | "tienda"
    )
}

/// The word for a name, of whatever.
fn is_name(last: &str) -> bool {
    matches!(last, "name" | "names" | "nombre" | "nome" | "nom" | "naam" | "nazwa")
}

/// Whether a word says that a person is meant.
fn is_role(word: &str) -> bool {
    is_somebody(word)
        || matches!(
            word,
            "billing"
                | "shipping"
                | "invoice"
                | "rechnungs"
                | "rechnung"
                | "liefer"
                | "lieferung"
                | "facturation"
                | "livraison"
                | "facturacion"
                | "envio"
                | "fatturazione"
                | "spedizione"
                | "faturacao"
                | "entrega"
                | "factuur"
                | "bezorg"
        )
}

fn is_somebody(word: &str) -> bool {
    matches!(
        word,
        "customer"
            | "customers"
            | "client"
            | "buyer"
            | "purchaser"
            | "user"
            | "contact"
            | "recipient"
            | "receiver"
            | "payer"
            | "holder"
            | "cardholder"
            | "person"
            | "guest"
            | "member"
            | "lead"
            | "patient"
            | "passenger"
            | "traveller"
            | "traveler"
            | "subscriber"
            | "sender"
            | "owner"
            | "attendee"
            | "shopper"
            | "visitor"
            | "kunde"
            | "kunden"
            | "kaufer"
            | "kaeufer"
            | "empfanger"
            | "empfaenger"
            | "benutzer"
            | "nutzer"
            | "kontakt"
            | "gast"
            | "besteller"
            | "utilisateur"
            | "acheteur"
            | "destinataire"
            | "cliente"
            | "usuario"
            | "comprador"
            | "destinatario"
            | "contacto"
            | "contatto"
            | "contato"
            | "acquirente"
            | "utente"
            | "klant"
            | "gebruiker"
            | "ontvanger"
            | "klient"
            | "klienta"
            | "odbiorca"
            | "uzytkownik"
    )
}

/// Whether the object of this name is a person, or where one lives.
fn is_person(parent: &str) -> bool {
    if parent.is_empty() || parent.len() > LONGEST_NAME {
        return false;
    }
    let words = words(parent);
    let Some(last) = words.last() else { return false };
    let before = words.len().checked_sub(2).and_then(|at| words.get(at));
    is_somebody(last) || (is_address(last) && before.is_none_or(|word| !is_of_a_place(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_identifiers_are_found() {
        for name in [
            "Email",
            "E-Mail",
            "em",
            "EM",
            "ph",
            "fn",
            "ln",
            "zp",
            "firstName",
            "FIRST_NAME",
            "customer_email",
            "customerEmail",
            "customer[email]",
            "billing-phone",
            "user.first_name",
            "shippingDateOfBirth",
            "IP",
            "user_agent",
            "idfa",
            "customer_id",
            "Tel",
            "full_name",
            "fullName",
            "customerName",
            "customer_name",
            "billing_name",
            "shippingName",
            "recipient_name",
            "contactName",
            "phone2",
            "email2",
            "customer_phone_2",
            "phone_1",
            "customerPhone2",
            "tel2",
            "address",
            "address1",
            "address_line_2",
            "addressLine2",
            "street",
            "billing_address",
            "shipping-street",
            "email_address",
            "emailAddress2",
            "email_raw",
            "phone_e164",
            "phone_home",
            "msisdn",
            "telefono",
            "Teléfono",
            "téléphone",
            "vorname",
            "Nachname",
            "prénom",
            "nom_de_famille",
            "apellidos",
            "cognome",
            "sobrenome",
            "voornaam",
            "achternaam",
            "imię",
            "nazwisko",
            "Straße",
            "adresse",
            "dirección",
            "indirizzo",
            "endereço",
            "adres",
            "Handynummer",
            "numero_de_telefono",
            "numer_telefonu",
            "correo_electronico",
            "adresse_mail",
            "geburtsdatum",
            "date_de_naissance",
            "fecha_nacimiento",
            "kundenname",
            "nombre_cliente_email",
            "klant_naam",
            "nom_client_email",
            "customeremail",
            "billingtelephone",
            "username",
            "user_name",
            "iban",
            "recipient_email",
            "gift.recipient_email",
            "Cliente Nombre",
        ] {
            assert!(identifier(name, "", Place::Property).is_some(), "{name}");
        }
        for name in ["name", "vorname", "nombre", "nom", "nome", "name2", "full_name", "address"] {
            assert!(identifier(name, "", Place::Parameter).is_some(), "{name}");
        }
        for parent in ["customer", "Customer", "billing_customer", "shippingAddress", "recipient"] {
            assert!(identifier("name", parent, Place::Property).is_some(), "{parent}.name");
        }
        for name in ["recipient_email", "customer_name", "phone2", "gift_recipient_name", "vorname"]
        {
            assert!(identifier(name, "", Place::Item).is_some(), "{name}");
        }
    }

    #[test]
    fn what_shops_say_of_their_goods_stays() {
        for name in [
            "url",
            "amount",
            "items",
            "warehouse",
            "store_city",
            "order_state",
            "hotel",
            "emblem",
            "utm_source",
            "utm_medium",
            "utm_campaign",
            "utm_content",
            "utm_term",
            "fbclid",
            "size",
            "fnord",
            "email_count",
            "",
            "name",
            "names",
            "product_name",
            "productName",
            "content_name",
            "item_name",
            "campaign_name",
            "brand_name",
            "store_name",
            "category_name",
            "plan_name",
            "file_name",
            "company_name",
            "coupon_name",
            "display_name",
            "event_name",
            "sku",
            "sku2",
            "ean",
            "ean13",
            "gtin14",
            "isbn",
            "mpn",
            "order_number",
            "order_no",
            "invoice_number",
            "tracking_number",
            "article_number",
            "price2",
            "color1",
            "voucher",
            "phone_model",
            "phone_case",
            "smartphone",
            "headphone",
            "iphone",
            "mobile_app",
            "email_template",
            "email_opt_in",
            "email_campaign",
            "address_book_size",
            "store_address",
            "web_address",
            "wallet_address",
            "warehouse_street",
            "mac_address",
            "hotel_address",
            "quantity",
            "nombre_articles",
            "nom_produit",
            "nombre_producto",
            "nome_prodotto",
            "nazwa_produktu",
            "productnaam",
            "produktname",
            "artikelname",
            "variant",
            "theme",
            "plan",
            "tier",
            "points",
            "timestamp",
            "created",
            "updated_at2",
            "session",
            "page",
            "level",
            "rank",
            "region_code2",
            "shipping_method",
            "shipping_cost",
            "billing_period",
            "customer_type",
            "customer_tier",
            "customer_since",
            "user_type",
            "member_level",
            "lead_score",
            "contact_form",
        ] {
            assert!(identifier(name, "", Place::Property).is_none(), "{name}");
        }
        for parent in ["product", "item", "shipping", "plan", "campaign", "store_address", "brand"]
        {
            assert!(identifier("name", parent, Place::Property).is_none(), "{parent}.name");
        }
        for name in ["name", "city", "country", "region", "address", "title", "state", "total"] {
            assert!(identifier(name, "contents", Place::Item).is_none(), "{name}");
        }
        for name in ["gclid", "fbclid", "utm_campaign", "product_name", "ga_client_id", "ip"] {
            assert!(identifier(name, "", Place::Parameter).is_none(), "{name}");
        }
    }
}
