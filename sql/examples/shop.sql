-- An example shop: the kind of schema that capi is meant to be added to.
--
-- It needs nothing but Postgres 15 or newer. Run it as a superuser, once per database:
--
--     psql -v ON_ERROR_STOP=1 -f shop.sql                     creates the empty shop
--     psql -v ON_ERROR_STOP=1 -v orders=1200 -f shop.sql      the same, and 1,200 orders
--
-- What is in it:
--
--     shop.customers, products, currencies, orders, order_items, payments, status_changes, enquiries
--                            an ordinary shop; it knows nothing of conversions
--     shop.purchases, shop.leads
--                            the conversion views: their rows are the conversions
--     shop.trade(...)        a procedure that buys and sells as an application would, one business
--                            step per transaction, with the untidy values that real customers type
--     shop.summary           the books: what was ordered, paid and consented to
--
-- Everybody in here is invented. Mail goes to example.com, .org and .net only, IP addresses are
-- those set aside for documentation, and telephone numbers come from the ranges that a country
-- reserves for drama, or are plain 1-2-3 numbers where it reserves none.

\set ON_ERROR_STOP on
\encoding UTF8

begin;

-- ---------------------------------------------------------------------------------------------
-- Roles. Both are cluster-wide and cannot log in: grant them to the login roles of your choice.
-- ---------------------------------------------------------------------------------------------

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'shop_owner') then
        create role shop_owner nologin;
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'shop_app') then
        create role shop_app nologin;
    end if;
end
$$;

create schema shop authorization shop_owner;

-- Everything below, views included, belongs to the owner, not to the superuser who runs this.
set local role shop_owner;

comment on schema shop is 'An example shop';

-- ---------------------------------------------------------------------------------------------
-- Tables
-- ---------------------------------------------------------------------------------------------

create table shop.currencies (
    code     text     primary key constraint code_is_iso_4217 check (code ~ '^[A-Z]{3}$'),
    decimals smallint not null,
    per_euro numeric  not null constraint per_euro_positive check (per_euro > 0)
);
comment on table shop.currencies is 'Money that the shop takes; yen and won have no decimals';

create table shop.products (
    id         bigint        generated always as identity primary key,
    sku        text          not null unique,
    title      text          not null,
    price_euro numeric(10,2) not null constraint price_positive check (price_euro > 0)
);

-- What customers typed is kept as typed: blanks, capitals, 'n/a' and all. Cleaning it up is not
-- the shop's business, and not this example's either.
create table shop.customers (
    id                bigint      generated always as identity primary key,
    is_guest          boolean     not null default false,
    email             text,
    phone             text,
    first_name        text,
    last_name         text,
    city              text,
    state             text,
    zip               text,
    country           text,
    marketing_consent boolean,
    created_at        timestamptz not null default clock_timestamp()
);
comment on column shop.customers.is_guest is 'Ordered without an account: the id means nothing elsewhere';
comment on column shop.customers.marketing_consent is 'True given, false refused, null not answered yet';

create table shop.orders (
    id               bigint        generated always as identity primary key,
    customer_id      bigint        not null references shop.customers (id),
    status           text          not null default 'pending'
                     constraint status_is_known check
                         (status in ('pending', 'paid', 'payment_failed', 'shipped', 'cancelled')),
    currency         text          not null references shop.currencies (code),
    total            numeric(14,2) not null default 0,
    checkout_url     text          not null,
    browser          jsonb,
    placed_at        timestamptz   not null default clock_timestamp(),
    paid_at          timestamptz,
    cancelled_at     timestamptz,
    shipped_at       timestamptz,
    consent_noted_at timestamptz,
    constraint total_set_when_paid check (paid_at is null or total > 0),
    constraint paid_at_set_when_paid check (status not in ('paid', 'shipped') or paid_at is not null)
);
comment on column shop.orders.browser is 'What the web server saw: ip, user_agent, fbp, fbc, ga_client_id, gclid';
comment on column shop.orders.paid_at is 'Stays when the order is cancelled and the money paid back';
comment on column shop.orders.consent_noted_at is 'The customer answered the consent question on the page of this order';

create index orders_customer_id on shop.orders (customer_id);
create index orders_paid_at on shop.orders (paid_at) where paid_at is not null;

create table shop.order_items (
    id         bigint        generated always as identity primary key,
    order_id   bigint        not null references shop.orders (id),
    product_id bigint        not null references shop.products (id),
    sku        text          not null,
    quantity   integer       not null constraint quantity_positive check (quantity > 0),
    price      numeric(14,2) not null
);
create index order_items_order_id on shop.order_items (order_id);
create index order_items_product_id on shop.order_items (product_id);

create table shop.payments (
    id         bigint        generated always as identity primary key,
    order_id   bigint        not null references shop.orders (id),
    method     text          not null,
    state      text          not null
               constraint state_is_known check (state in ('captured', 'declined', 'refunded')),
    amount     numeric(14,2) not null,
    currency   text          not null references shop.currencies (code),
    created_at timestamptz   not null default clock_timestamp()
);
create index payments_order_id on shop.payments (order_id);

create table shop.status_changes (
    id         bigint      generated always as identity primary key,
    order_id   bigint      not null references shop.orders (id),
    status     text        not null,
    changed_at timestamptz not null default clock_timestamp()
);
create index status_changes_order_id on shop.status_changes (order_id);

-- A contact form. Only a confirmed enquiry (the customer clicked the link in the mail) is a lead.
create table shop.enquiries (
    id                bigint      generated always as identity primary key,
    email             text,
    phone             text,
    first_name        text,
    last_name         text,
    zip               text,
    country           text,
    message           text,
    page_url          text        not null,
    browser           jsonb,
    marketing_consent boolean,
    received_at       timestamptz not null default clock_timestamp(),
    confirmed_at      timestamptz
);
create index enquiries_confirmed_at on shop.enquiries (confirmed_at) where confirmed_at is not null;

-- ---------------------------------------------------------------------------------------------
-- Conversion views: one row per conversion, columns named as the standard fields
-- ---------------------------------------------------------------------------------------------

-- A paid order is a purchase. `paid_at is not null` stays true when the order is shipped or
-- cancelled later; `status = 'paid'` would not, and the conversion would come and go.
create view shop.purchases as
select o.id,                                  -- the key of shop.orders, under its own name
       'Purchase'           as event_name,
       'order-' || o.id     as event_id,      -- the pixel on the thank-you page sends the same id
       o.paid_at            as event_time,
       'website'            as action_source,
       o.checkout_url       as event_source_url,
       o.total              as value,
       o.currency,
       c.email,
       c.phone,
       c.first_name,
       c.last_name,
       c.city,
       c.state,
       c.zip,
       c.country,
       case when not c.is_guest then c.id::text end as external_id,
       o.browser,                             -- ip, user_agent, fbp, fbc and other ids in one column
       o.id::text           as order_id,
       (select jsonb_agg(jsonb_build_object('id', i.sku, 'quantity', i.quantity, 'item_price', i.price)
                         order by i.id)
          from shop.order_items i
         where i.order_id = o.id) as contents,
       c.marketing_consent  as consent
  from shop.orders o
  join shop.customers c on c.id = o.customer_id
 where o.paid_at is not null;
comment on view shop.purchases is 'Conversion view over shop.orders: an order that was paid';

create view shop.leads as
select e.id,
       'Lead'               as event_name,
       'lead-' || e.id      as event_id,
       e.confirmed_at       as event_time,
       'website'            as action_source,
       e.page_url           as event_source_url,
       e.email,
       e.phone,
       e.first_name,
       e.last_name,
       e.zip,
       e.country,
       e.browser,
       e.marketing_consent  as consent
  from shop.enquiries e
 where e.confirmed_at is not null;
comment on view shop.leads is 'Conversion view over shop.enquiries: an enquiry that was confirmed';

-- ---------------------------------------------------------------------------------------------
-- What the application may do: read all, write what it sells, delete nothing
-- ---------------------------------------------------------------------------------------------

grant usage on schema shop to shop_app;
grant select on all tables in schema shop to shop_app;
grant insert on shop.customers, shop.orders, shop.order_items, shop.payments, shop.status_changes,
    shop.enquiries to shop_app;
grant update on shop.customers, shop.orders, shop.enquiries to shop_app;

-- ---------------------------------------------------------------------------------------------
-- Goods and money
-- ---------------------------------------------------------------------------------------------

insert into shop.currencies (code, decimals, per_euro) values
    ('USD', 2, 1.10), ('CAD', 2, 1.50), ('GBP', 2, 0.85), ('EUR', 2, 1), ('PLN', 2, 4.30),
    ('BRL', 2, 6.00), ('JPY', 0, 165), ('KRW', 0, 1480), ('MXN', 2, 20.50), ('SEK', 2, 11.40),
    ('INR', 2, 92), ('AUD', 2, 1.65), ('UAH', 2, 45), ('AED', 2, 4.05);

insert into shop.products (sku, title, price_euro) values
    ('MUG-01', 'Enamel mug', 9.90),          ('MUG-02', 'Enamel mug, large', 12.50),
    ('TEA-EG', 'Earl Grey, 250 g', 7.80),    ('TEA-SE', 'Sencha, 100 g', 11.20),
    ('POT-11', 'Cast-iron teapot', 64.00),   ('POT-12', 'Glass teapot', 28.90),
    ('KTL-20', 'Kettle, 1.7 l', 79.00),      ('TIN-03', 'Tea tin', 5.50),
    ('SPN-04', 'Measuring spoon', 3.95),     ('TRY-07', 'Serving tray', 34.50),
    ('CUP-S6', 'Six cups', 41.00),           ('LIN-09', 'Linen towel', 14.90);

-- ---------------------------------------------------------------------------------------------
-- The generator's raw material: places, names and how people write their telephone numbers
-- ---------------------------------------------------------------------------------------------

-- One row per country. In `phones` each # becomes a digit. `upto` is the running sum of the
-- shares of orders, in percent.
create table shop.demo_places (
    country     text     primary key,
    upto        smallint not null unique,
    currency    text     not null references shop.currencies (code),
    spellings   text[]   not null,
    first_names text[]   not null,
    last_names  text[]   not null,
    phones      text[]   not null,
    -- city|state|zip, several spellings of the same place among them
    towns       text[]   not null
);
comment on table shop.demo_places is 'Raw material of shop.trade; no part of the shop';

insert into shop.demo_places (country, upto, currency, spellings, first_names, last_names, phones, towns) values
('US', 18, 'USD',
 '{US,US,US,us,USA,United States,United States of America,U.S.A.}',
 '{Mary,James,Linda,Robert,Ashley,Michael,Mary Ann,DeShawn,Jean-Luc,José,Emily,Tyler}',
 '{Smith,Johnson,O''Brien,Williams,Garcia,Davis,McDonald,Nguyen,"Smith-Jones",St. John,Miller,"King Jr."}',
 '{(212) 555-01##,212-555-01##,+1 415 555 01##,1-646-555-01##,+1.312.555.01##,50355501##,"(206) 555-01## ext. 4",+1 (617) 555-01## x12,001 305 555 01##}',
 '{New York|NY|10001,New York|New York|10001-4321,San Francisco|CA|94105,Los Angeles|California|90012,St. Louis|MO|63101,Coeur d''Alene|ID|83814,Washington|D.C.|20001,Austin|Texas|78701}'),
('GB', 28, 'GBP',
 '{GB,GB,GB,UK,United Kingdom,gb,GBR,England,Great Britain}',
 '{Oliver,Amelia,Harry,Isla,George,Siân,Ewan,Zoë,Mohammed,Charlotte}',
 '{Jones,Taylor,Brown,Evans,MacLeod,O''Neill,Patel,Hughes,Fitzgerald-Moore,Khan}',
 '{020 7946 0###,+44 20 7946 0###,+44 (0)20 7946 0###,0044 20 7946 0###,07700 900###,+44 7700 900###,(0161) 496 0###,0113 496 0### ext 21}',
 '{London|Greater London|SW1A 1AA,London||EC1A1BB,Manchester|England|M1 1AE,Leeds|West Yorkshire|ls1 4dy,Edinburgh|Scotland|EH1 1YZ,Cardiff|Wales|CF10 1EP}'),
('DE', 38, 'EUR',
 '{DE,DE,DE,de,Deutschland,Germany,DEU}',
 '{Jürgen,Anna,Björn,Käthe,Lukas,Sophie,Karl-Heinz,Marie,Ömer,Jana}',
 '{Müller,Schmidt,Schröder,Weiß,von der Heide,Groß,Yılmaz,Fischer,Meyer-Lüdenscheid,Becker}',
 '{030 23125 ###,+49 30 23125 ###,+49 (0)30 23125 ###,0049 30 23125###,030/23125-###,0171 39200##,+49-171-39200##,(030) 23125 ###}',
 '{Berlin|BE|10115,München|Bayern|80331,Köln|Nordrhein-Westfalen|50667,Frankfurt am Main|Hessen|D-60311,Düsseldorf|NRW|40213,Hamburg||20095}'),
('FR', 45, 'EUR',
 '{FR,FR,FR,fr,France,FRA}',
 '{Émile,Chloé,François,Zoé,Jean-Baptiste,Valéry,Inès,Lucas,Anaïs,Hélène}',
 '{Dubois,Lefèvre,D''Arcy,Martin,Le Gall,Garçon,Moreau,de La Tour,Petit,Benoît}',
 '{01 99 00 ## ##,06 39 98 ## ##,+33 6 39 98 ## ##,0033 1 99 00 ## ##,+33 (0)1.99.00.##.##,06.39.98.##.##}',
 '{Paris|Île-de-France|75001,Lyon|Auvergne-Rhône-Alpes|69002,Saint-Étienne||42000,Aix-en-Provence|PACA|13100,Nîmes|Occitanie|30 000}'),
('CA', 51, 'CAD',
 '{CA,CA,ca,Canada,CAN,CANADA}',
 '{Liam,Noah,Émilie,Olivia,Jean-François,Maya,Ethan,Geneviève}',
 '{Tremblay,Smith,Gagnon,Roy,Côté,MacDonald,Singh,Bouchard}',
 '{416-555-01##,(514) 555-01##,+1 604 555 01##,1 613 555 01##,(514) 555-01## poste 7}',
 '{Toronto|ON|M5V 2T6,Montréal|Québec|H2Y 1C6,Vancouver|British Columbia|V6B1A1,Ottawa|Ontario|k1a 0b1}'),
('ES', 56, 'EUR',
 '{ES,ES,es,España,Spain,ESP}',
 '{María José,Antonio,Lucía,Íñigo,Begoña,Jesús,Nuria,Álvaro}',
 '{García López,Núñez,Muñoz,Fernández,de la Fuente,Ibáñez,Pérez,Ortega}',
 '{612 34 56 ##,+34 612 34 56 ##,0034 91 234 56 ##,91 234 56 ##,(+34) 93 123 45 ##}',
 '{Madrid|Madrid|28001,Barcelona|Cataluña|08002,Málaga|Andalucía|29015,A Coruña|Galicia|15001}'),
('IT', 61, 'EUR',
 '{IT,IT,it,Italia,Italy,ITA}',
 '{Giulia,Niccolò,Francesca,Matteo,Chiara,Alessandro,Beatrice,Lorenzo}',
 '{Rossi,D''Angelo,Esposito,Dell''Acqua,Bianchi,De Luca,Forlì,Conti}',
 '{02 1234 56##,+39 02 1234 56##,333 123 45##,0039 333 123 45##,+39 06 123 45##}',
 '{Milano|MI|20121,Roma|Lazio|00184,Forlì|FC|47121,Reggio nell''Emilia|RE|42121}'),
('NL', 65, 'EUR',
 '{NL,NL,nl,Nederland,The Netherlands,NLD}',
 '{Daan,Sanne,Zoë,Thijs,Anouk,Bram,Fleur,Joris}',
 '{de Vries,van den Berg,''t Hart,Jansen,Bakker,van ''t Veer,Visser,Smit}',
 '{020 123 45 ##,+31 20 123 45 ##,+31 (0)6 123 456 ##,06-123456##,0031 6 123456##}',
 '{Amsterdam|Noord-Holland|1012 AB,''s-Hertogenbosch|NB|5211 AX,Den Haag|Zuid-Holland|2511cb,Utrecht||3511 AD}'),
('PL', 69, 'PLN',
 '{PL,PL,pl,Polska,Poland,POL}',
 '{Łukasz,Zofia,Paweł,Małgorzata,Jakub,Żaneta,Michał,Agnieszka}',
 '{Kowalski,Wiśniewska,Żółć,Nowak,Dąbrowski,Wójcik,Zając,Kamińska}',
 '{22 123 45 ##,+48 22 123 45 ##,512 345 6##,+48 512 345 6##,0048 512-345-6##}',
 '{Warszawa|mazowieckie|00-001,Kraków|małopolskie|31-042,Łódź|łódzkie|90-001,Gdańsk|pomorskie|80-831}'),
('BR', 74, 'BRL',
 '{BR,BR,br,Brasil,Brazil,BRA}',
 '{João,Maria Eduarda,Antônio,Júlia,Luís,Conceição,Thiago,Letícia}',
 '{da Silva,Souza,Araújo,dos Santos,Gonçalves,Pereira,Assunção,Lima}',
 '{(11) 91234-56##,+55 (11) 91234-56##,021 2123-45##,+55 21 2123 45##,0055 11 91234 56##}',
 '{São Paulo|SP|01310-100,Rio de Janeiro|Rio de Janeiro|20040-002,Brasília|DF|70040010,Florianópolis|Santa Catarina|88010-400}'),
('JP', 79, 'JPY',
 '{JP,JP,jp,日本,Japan,JPN}',
 '{太郎,花子,さくら,健太,ゆうき,美咲,Kenji,Yuki}',
 '{山田,佐藤,鈴木,高橋,田中,渡辺,Tanaka,Ito}',
 '{03-1234-56##,+81 3 1234 56##,090-1234-56##,+81-90-1234-56##,0081 90 1234 56##,+81 (0)3-1234-56##}',
 '{東京|東京都|100-0001,大阪市|大阪府|530-0001,Kyoto|Kyoto|6008216,札幌市|北海道|〒060-0001}'),
('KR', 83, 'KRW',
 '{KR,KR,kr,대한민국,South Korea,Republic of Korea,KOR}',
 '{민준,서연,정,지훈,하은,도윤,Minji,수빈}',
 '{김,이,박,최,정,강,Kim,윤}',
 '{010-1234-56##,+82 10 1234 56##,02-312-45##,+82 (0)2 312 45##,0082 10 1234 56##}',
 '{서울|서울특별시|04524,부산|부산광역시|48058,Seoul|Seoul|06236,인천||21554}'),
('MX', 86, 'MXN',
 '{MX,MX,mx,México,Mexico,MEX}',
 '{Guadalupe,José Luis,Ximena,Ángel,María Fernanda,Óscar}',
 '{Hernández,Peña,López Obregón,Ramírez,Zúñiga,Cruz}',
 '{55 1234 56##,+52 55 1234 56##,+52 1 55 1234 56##,(33) 1234-56##,0052 33 1234 56##}',
 '{Ciudad de México|CDMX|06000,Guadalajara|Jalisco|44100,Mérida|Yucatán|97000,Monterrey|N.L.|64000}'),
('SE', 89, 'SEK',
 '{SE,SE,se,Sverige,Sweden,SWE}',
 '{Åsa,Björn,Märta,Örjan,Elsa,Göran}',
 '{Åkesson,Lindström,Öberg,Sjögren,Andersson,Bergqvist}',
 '{070-174 06 ##,+46 70 174 06 ##,08-465 004 ##,+46 (0)8-465 004 ##,0046 70 1740 6##}',
 '{Stockholm|Stockholms län|111 20,Göteborg|Västra Götaland|41103,Malmö|Skåne|SE-211 20,Örebro||702 10}'),
('IN', 92, 'INR',
 '{IN,IN,in,India,भारत,IND}',
 '{Priya,Arjun,Lakshmi,राहुल,Aditya,अनिता,Deepika,Mohammed}',
 '{Sharma,Patel,Iyer,कुमार,Singh,Reddy,वर्मा,D''Souza}',
 '{98765 43###,+91 98765 43###,098765 43###,0091 98765 43###,022 2345 67##}',
 '{Mumbai|Maharashtra|400001,Bengaluru|Karnataka|560 001,New Delhi|Delhi|110001,Chennai|TN|600001}'),
('AU', 96, 'AUD',
 '{AU,AU,au,Australia,AUS}',
 '{Jack,Matilda,Lachlan,Ruby,Zane,Chloe}',
 '{Kelly,Nguyen,O''Connor,Wilson,Papadopoulos,Walker}',
 '{0491 570 156,0491 570 157,+61 491 570 158,0061 491 570 159,+61 (0)491 570 110,(02) 5550 ####,03 7010 ####}',
 '{Sydney|NSW|2000,Melbourne|Victoria|3000,Wagga Wagga|New South Wales|2650,Darwin|NT|0800}'),
('GR', 97, 'EUR',
 '{GR,gr,Ελλάδα,Greece,GRC}',
 '{Γιώργος,Ελένη,Νίκος,Αθανάσιος,Κατερίνα}',
 '{Παπαδόπουλος,Οικονόμου,Γεωργίου,Νικολάου}',
 '{210 123 45##,+30 210 123 45##,691 234 56##,0030 691 234 56##}',
 '{Αθήνα|Αττική|105 57,Θεσσαλονίκη||54624,Πάτρα|Αχαΐα|262 21}'),
('UA', 98, 'UAH',
 '{UA,ua,Україна,Ukraine,UKR}',
 '{Олександр,Наталія,Ірина,Дмитро,Юлія}',
 '{Шевченко,Коваленко,Мар''яненко,Бондар}',
 '{044 123 45 ##,+380 44 123 45 ##,067 123-45-##,00380 67 123 45 ##}',
 '{Київ|Київ|01001,Львів|Львівська область|79000,Одеса||65000}'),
('AE', 100, 'AED',
 '{AE,ae,United Arab Emirates,UAE,الإمارات}',
 '{محمد,فاطمة,أحمد,مريم,Omar,Layla}',
 '{الهاشمي,العلي,المنصوري,Al Farsi,Haddad}',
 '{04 123 45##,+971 4 123 45##,050 123 45##,00971 50 123 45##}',
 '{دبي|دبي|00000,Abu Dhabi|Abu Dhabi|,Sharjah||}');

-- Numbers the orders that the generator has made; goes on where the last call stopped.
create sequence shop.demo_number;
grant usage on sequence shop.demo_number to shop_app;
grant select on shop.demo_places to shop_app;

-- ---------------------------------------------------------------------------------------------
-- The generator. Every choice follows from a key such as 'shop/17/phone': the same number gives
-- the same customer and the same order in every run, only the times are those of the clock.
-- ---------------------------------------------------------------------------------------------

-- 0 .. choices - 1, evenly spread.
create function shop._pick(key text, choices integer)
returns integer
language sql immutable strict parallel safe
return ('x' || substr(md5(key), 1, 7))::bit(28)::integer % choices;

create function shop._one_of(key text, choices text[])
returns text
language sql immutable strict parallel safe
return choices[1 + shop._pick(key, cardinality(choices))];

-- Puts a digit in the place of each #.
create function shop._with_digits(key text, pattern text)
returns text
language sql immutable strict parallel safe
return (
    select string_agg(case c.letter when '#' then shop._pick(key || c.place, 10)::text else c.letter end,
                      '' order by c.place)
      from string_to_table(pattern, null) with ordinality as c (letter, place)
);

-- Somebody comes to the shop. `is_guest` has no account, but a working email address; `is_nobody`
-- leaves nothing but a town, which no platform can match to a person.
create function shop._demo_customer(key text, is_guest boolean, is_nobody boolean)
returns shop.customers
language plpgsql stable
as $$
declare
    c shop.customers;
    p shop.demo_places;
    town text[];
    name text;
    slip integer;
begin
    select * into strict p
      from shop.demo_places
     where upto > shop._pick(key || '/place', 100)
     order by upto
     limit 1;
    town := string_to_array(shop._one_of(key || '/town', p.towns), '|');
    c.is_guest := is_guest or is_nobody;
    c.city := town[1];
    c.country := shop._one_of(key || '/country', p.spellings);

    -- About 8 in 100 refuse, 2 have not answered yet.
    slip := shop._pick(key || '/consent', 100);
    c.marketing_consent := case when is_nobody then true when slip < 8 then false when slip >= 10 then true end;
    if is_nobody then
        return c;
    end if;

    c.state := nullif(town[2], '');
    c.zip := nullif(town[3], '');
    c.first_name := shop._one_of(key || '/first', p.first_names);
    c.last_name := shop._one_of(key || '/last', p.last_names);

    -- Mail: what is left of the name in plain letters, and a number.
    name := translate(lower(c.first_name || '.' || c.last_name), 'áàâäãåąçćéèêëęíìîïıñńóòôöõøúùûüýžżśšłß''',
                                                                 'aaaaaaacceeeeeiiiiinnoooooouuuuyzzssls');
    name := trim('.-' from regexp_replace(name, '[^a-z.-]', '', 'g'));
    c.email := coalesce(nullif(name, ''), 'customer') || shop._pick(key || '/mail', 10000)
               || '@example.' || shop._one_of(key || '/host', '{com,org,net}');
    slip := shop._pick(key || '/mail slip', 100);
    c.email := case
        when slip < 8 then initcap(c.email)
        when slip < 12 then upper(c.email)
        when slip < 17 then '  ' || c.email || ' '
        when slip < 19 then replace(c.email, '@', '+shop@')
        when c.is_guest then c.email
        when slip < 25 then null
        when slip < 27 then shop._one_of(key || '/no mail', '{n/a,none,-,test,""}')
        when slip < 28 then replace(c.email, '@', '@@')
        when slip < 29 then replace(c.email, '@', ' at ')
        else c.email
    end;

    c.phone := shop._with_digits(key || '/digits', shop._one_of(key || '/phone', p.phones));
    slip := shop._pick(key || '/phone slip', 100);
    c.phone := case
        when slip < 14 then null
        when slip < 17 then shop._one_of(key || '/no phone', '{n/a,none,-,0,0000000000,test,""}')
        when slip < 19 then ' ' || c.phone || ' '
        when slip < 20 then 'Tel. ' || c.phone
        else c.phone
    end;

    slip := shop._pick(key || '/name slip', 100);
    if slip < 6 then
        c.first_name := upper(c.first_name);
        c.last_name := upper(c.last_name);
    elsif slip < 10 then
        c.first_name := lower(c.first_name);
        c.last_name := lower(c.last_name) || ' ';
    elsif slip < 12 then
        c.first_name := 'Dr. ' || c.first_name;
    elsif slip < 14 then
        c.first_name := shop._one_of(key || '/no name', '{-,test,n/a,""}');
    end if;

    if shop._pick(key || '/zip slip', 100) < 3 then
        c.zip := shop._one_of(key || '/no zip', '{n/a,-,""}');
    end if;
    if shop._pick(key || '/country slip', 100) < 2 then
        c.country := null;
    end if;
    return c;
end
$$;

-- What the web server saw. Null: ordered by telephone, typed in by the staff.
create function shop._demo_browser(key text, visited_at timestamptz)
returns jsonb
language plpgsql stable
as $$
declare
    agents constant text[] := array[
        'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
        'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15',
        'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
        'Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36',
        'Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0'];
    ip text;
    agent text;
    fbp text;
    fbc text;
    slip integer;
    -- The click that brought the visitor: up to 20 days ago, in milliseconds.
    clicked_ms bigint := (extract(epoch from visited_at)::bigint - 60 - shop._pick(key || '/click', 1728000)) * 1000
                         + shop._pick(key || '/ms', 1000);
begin
    if shop._pick(key || '/by phone', 100) < 2 then
        return null;
    end if;

    ip := case
        when shop._pick(key || '/ipv6', 100) < 30
            then '2001:db8:' || to_hex(shop._pick(key || '/net', 65536)) || '::' || to_hex(1 + shop._pick(key || '/host', 65535))
        else shop._one_of(key || '/net', '{192.0.2.,198.51.100.,203.0.113.}') || 1 + shop._pick(key || '/host', 254)
    end;
    slip := shop._pick(key || '/ip slip', 100);
    ip := case
        when slip < 4 then null
        when slip < 7 then shop._one_of(key || '/private', '{10.0.0.5,192.168.1.20,172.16.4.1,127.0.0.1,fd00::17}')
        when slip < 9 then case when ip like '%:%' then '[' || ip || ']' else ip end || ':51234'
        when slip < 10 then ip || ', 10.0.0.2'
        else ip
    end;

    if shop._pick(key || '/agent slip', 100) >= 4 then
        agent := shop._one_of(key || '/agent', agents);
    end if;

    if shop._pick(key || '/fbp', 100) < 70 then
        fbp := 'fb.1.' || clicked_ms || '.' || 100000000 + shop._pick(key || '/fbp id', 200000000);
    end if;
    if shop._pick(key || '/fbc', 100) < 35 then
        fbc := 'IwAR' || substr(translate(encode(decode(md5(key), 'hex'), 'base64'), '+/=', '-_'), 1, 20);
        slip := shop._pick(key || '/fbc slip', 100);
        fbc := case
            when slip < 4 then fbc                                                  -- the bare click id
            when slip < 8 then 'fb.1.' || clicked_ms / 1000 || '.' || fbc           -- seconds
            when slip < 10 then 'fb.1.' || clicked_ms                               -- the id is missing
            when slip < 12 then 'fb.1.' || clicked_ms || '.fb.1.' || clicked_ms || '.' || fbc
            when slip < 15 then 'fb.1.' || clicked_ms - 10368000000 || '.' || fbc   -- 120 days older
            when slip < 20 then 'fb.1.' || clicked_ms || '.' || fbc || '.AQ'        -- with an appendix
            else 'fb.1.' || clicked_ms || '.' || fbc
        end;
    end if;

    return jsonb_strip_nulls(jsonb_build_object(
        'ip', ip,
        'user_agent', agent,
        'fbp', fbp,
        'fbc', fbc,
        'ga_client_id', case when shop._pick(key || '/ga', 100) < 60
                             then 100000000 + shop._pick(key || '/ga id', 200000000) || '.' || clicked_ms / 1000 end,
        'gclid', case when shop._pick(key || '/gclid', 100) < 10
                      then 'Cj0KCQ' || substr(md5(key || '/gclid id'), 1, 24) end));
end
$$;

-- Trades: places `orders` orders, one after the other, and pays, declines, cancels and ships them.
--
--     orders      how many orders are placed
--     pause_ms    wait after each order, for a demo that a human watches
--     seed        another seed, other customers and orders
--
-- Each step is a transaction of its own, as in an application, so call it outside of a transaction
-- block. Several sessions may trade at once.
create procedure shop.trade(
    orders   integer default 1200,
    pause_ms integer default 0,
    seed     text    default 'shop'
)
language plpgsql
as $$
declare
    key        text;
    n          bigint;
    flow       integer;
    at_once    boolean;
    is_nobody  boolean;
    customer   shop.customers;
    place      shop.demo_places;
    known      bigint[];            -- customers with an account, who may come back
    to_ship    bigint[] := '{}';
    undecided  bigint[] := '{}';    -- orders whose customers have not answered on consent
    answer     text;
    customer_n bigint;
    order_n    bigint;
    enquiry_n  bigint;
    currency_c text;
    unit       shop.currencies;
    item       shop.products;
begin
    select coalesce(array_agg(c.id), '{}') into known
      from (select id from shop.customers where not is_guest order by id desc limit 300) c;
    commit;

    for i in 1 .. orders loop
        n := nextval('shop.demo_number');
        key := seed || '/' || n;
        -- 0-4 declined, 5-9 cancelled unpaid, 10-13 cancelled after payment, the others paid.
        flow := shop._pick(key || '/flow', 100);
        at_once := shop._pick(key || '/at once', 100) < 10;
        -- One in two hundred is a guest of whom nothing but the town is known. He pays, so it is
        -- a conversion, and it is the platform that refuses it.
        is_nobody := n % 200 = 77;
        if is_nobody then
            flow := 99;
        end if;

        -- Transaction 1: the customer. One in five was here before.
        if cardinality(known) >= 20 and not is_nobody and shop._pick(key || '/returns', 100) < 20 then
            customer_n := known[1 + shop._pick(key || '/who', cardinality(known))];
            select * into strict customer from shop.customers where id = customer_n;
        else
            customer := shop._demo_customer(key, shop._pick(key || '/guest', 100) < 15, is_nobody);
            insert into shop.customers (is_guest, email, phone, first_name, last_name, city, state, zip,
                                        country, marketing_consent)
            values (customer.is_guest, customer.email, customer.phone, customer.first_name,
                    customer.last_name, customer.city, customer.state, customer.zip,
                    customer.country, customer.marketing_consent)
            returning id into customer_n;
            if not customer.is_guest then
                known := known || customer_n;
            end if;
        end if;
        if not at_once then
            commit;
        end if;

        -- The currency is that of the customer's country; unknown country, euro.
        select * into place from shop.demo_places where customer.country = any (spellings);
        currency_c := coalesce(place.currency, 'EUR');
        select * into strict unit from shop.currencies where code = currency_c;

        -- Once in a while the application gives up in the middle, after the order was already
        -- marked as paid, and starts again. Of the first try nothing must remain.
        if shop._pick(key || '/fails', 100) = 0 and not at_once then
            insert into shop.orders (customer_id, currency, checkout_url, total, status, paid_at)
            values (customer_n, unit.code, 'https://shop.example.com/checkout/' || n, 999.99, 'paid', clock_timestamp());
            rollback;
        end if;

        -- Transaction 2: the order, its items one by one, and only then the total.
        insert into shop.orders (customer_id, currency, checkout_url, browser)
        values (customer_n, unit.code,
                'https://shop.example.com/' || lower(coalesce(place.country, 'eu')) || '/checkout/' || n,
                case when not is_nobody then shop._demo_browser(key, clock_timestamp()) end)
        returning id into order_n;
        insert into shop.status_changes (order_id, status) values (order_n, 'pending');
        for line in 1 .. 1 + shop._pick(key || '/lines', 5) loop
            select * into strict item
              from shop.products
             order by id
            offset shop._pick(key || '/product/' || line, 12) limit 1;
            insert into shop.order_items (order_id, product_id, sku, quantity, price)
            values (order_n, item.id, item.sku, 1 + shop._pick(key || '/quantity/' || line, 3),
                    round(item.price_euro * unit.per_euro, unit.decimals));
        end loop;
        update shop.orders
           set total = (select sum(quantity * price) from shop.order_items where order_id = order_n)
         where id = order_n;
        if not at_once then
            commit;
        end if;

        -- Transaction 3: the payment comes, or does not.
        if flow < 5 then
            insert into shop.payments (order_id, method, state, amount, currency)
            select id, 'card', 'declined', total, currency from shop.orders where id = order_n;
            update shop.orders set status = 'payment_failed' where id = order_n;
            insert into shop.status_changes (order_id, status) values (order_n, 'payment_failed');
        elsif flow < 10 then
            update shop.orders set status = 'cancelled', cancelled_at = clock_timestamp() where id = order_n;
            insert into shop.status_changes (order_id, status) values (order_n, 'cancelled');
        else
            insert into shop.payments (order_id, method, state, amount, currency)
            select id, shop._one_of(key || '/method', '{card,paypal,transfer,invoice}'), 'captured', total, currency
              from shop.orders where id = order_n;
            update shop.orders set status = 'paid', paid_at = clock_timestamp() where id = order_n;
            insert into shop.status_changes (order_id, status) values (order_n, 'paid');
        end if;
        commit;

        -- Later: some paid orders are cancelled and the money goes back; paid_at stays.
        if flow between 10 and 13 then
            insert into shop.payments (order_id, method, state, amount, currency)
            select id, 'refund', 'refunded', -total, currency from shop.orders where id = order_n;
            update shop.orders set status = 'cancelled', cancelled_at = clock_timestamp() where id = order_n;
            insert into shop.status_changes (order_id, status) values (order_n, 'cancelled');
            commit;
        elsif flow >= 14 then
            to_ship := to_ship || order_n;
        end if;

        -- Later: the order of a while ago leaves the house. Saving a row again must change nothing
        -- for the conversion.
        if cardinality(to_ship) > 5 then
            update shop.orders set status = 'shipped', shipped_at = clock_timestamp() where id = to_ship[1];
            insert into shop.status_changes (order_id, status) values (to_ship[1], 'shipped');
            to_ship := to_ship[2:];
            commit;
        end if;

        -- Later: about half of those who had not answered on consent do so on their order's page;
        -- two in three of them say yes. The answer belongs to the customer, the order notes when.
        if customer.marketing_consent is null and flow >= 10 then
            undecided := undecided || order_n;
        end if;
        if cardinality(undecided) > 2 then
            answer := shop._one_of(undecided[1] || '/answer', '{yes,yes,no,"","",""}');
            if answer <> '' then
                update shop.customers c
                   set marketing_consent = answer = 'yes'
                  from shop.orders o
                 where o.id = undecided[1] and c.id = o.customer_id and c.marketing_consent is null;
                -- Every order of the customer, not this one only: each may have been waiting.
                update shop.orders set consent_noted_at = clock_timestamp()
                 where customer_id = (select o.customer_id from shop.orders o where o.id = undecided[1])
                   and consent_noted_at is null;
                commit;
            end if;
            undecided := undecided[2:];
        end if;

        -- One enquiry for every twelve orders; seven in ten are confirmed, in a later transaction.
        if n % 12 = 5 then
            customer := shop._demo_customer(key || '/enquiry', true, false);
            insert into shop.enquiries (email, phone, first_name, last_name, zip, country, message, page_url,
                                        browser, marketing_consent)
            values (customer.email, customer.phone, customer.first_name, customer.last_name, customer.zip,
                    customer.country, 'Do you also sell wholesale?', 'https://shop.example.com/contact',
                    shop._demo_browser(key || '/enquiry', clock_timestamp()), customer.marketing_consent)
            returning id into enquiry_n;
            commit;
            if shop._pick(key || '/confirms', 10) < 7 then
                update shop.enquiries set confirmed_at = clock_timestamp() where id = enquiry_n;
                commit;
            end if;
        end if;

        if pause_ms > 0 then
            perform pg_sleep(pause_ms / 1000.0);
            commit;
        end if;
    end loop;
end
$$;
comment on procedure shop.trade(integer, integer, text) is
    'Places orders as an application would, with what real customers type';

-- ---------------------------------------------------------------------------------------------
-- The books
-- ---------------------------------------------------------------------------------------------

-- What a conversion pipeline has to account for. By currency: money is never added across them.
create view shop.summary as
select o.currency,
       count(*)                                                     as orders,
       count(o.paid_at)                                             as paid,
       coalesce(sum(o.total) filter (where o.paid_at is not null), 0) as paid_value,
       count(o.paid_at) filter (where c.marketing_consent)          as paid_consent_given,
       count(o.paid_at) filter (where not c.marketing_consent)      as paid_consent_refused,
       count(o.paid_at) filter (where c.marketing_consent is null)  as paid_consent_unknown,
       -- A town and nothing else: the platform will refuse these.
       count(o.paid_at) filter (where c.is_guest and c.email is null and c.phone is null and o.browser is null)
                                                                    as paid_by_nobody_known,
       count(*) filter (where o.paid_at is null)                    as never_paid,
       count(o.paid_at) filter (where o.cancelled_at is not null)   as paid_then_cancelled
  from shop.orders o
  join shop.customers c on c.id = o.customer_id
 group by o.currency;
comment on view shop.summary is 'Orders, payments and consent per currency';

grant select on shop.summary to shop_app;

commit;

-- ---------------------------------------------------------------------------------------------
-- Trade at once when asked to (-v orders=1200), and show the books
-- ---------------------------------------------------------------------------------------------

\if :{?orders}
call shop.trade(:orders);
\endif

select coalesce(currency, 'all')  as currency,
       sum(orders)                as orders,
       sum(paid)                  as paid,
       case when currency is not null then sum(paid_value) end as paid_value,
       sum(paid_consent_given)    as consent_given,
       sum(paid_consent_refused)  as refused,
       sum(paid_consent_unknown)  as unknown,
       sum(paid_by_nobody_known)  as nobody_known,
       sum(never_paid)            as never_paid,
       sum(paid_then_cancelled)   as cancelled_later
  from shop.summary
 group by grouping sets ((currency), ())
 order by grouping(currency), currency;
