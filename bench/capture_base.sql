-- The data that every database of bench/capture.py starts from, in the example shop: :customers
-- customers with consent, made of those whom the shop has invented, and :orders old orders of two
-- items each. Ids are without gaps, so that a client picks by a random number.

create temporary table known as
select row_number() over (order by id) - 1 as n, count(*) over () as of, c.*
from shop.customers c
where email is not null and phone is not null;

truncate shop.orders, shop.customers, shop.enquiries restart identity cascade;

insert into shop.customers (email, phone, first_name, last_name, city, state, zip, country, marketing_consent)
select i || k.email, k.phone, k.first_name, k.last_name, k.city, k.state, k.zip, k.country, true
from generate_series(1, :customers) i join known k on k.n = i % k.of
order by i;

insert into shop.orders (customer_id, currency, checkout_url, total, status, paid_at, browser)
select 1 + i % :customers, 'EUR', 'https://shop.example.com/checkout/' || i, 25.80, 'paid', now(),
    jsonb_build_object('ip', '203.0.113.7', 'fbp', 'fb.1.1700000000000.' || i)
from generate_series(1, :orders) i;

insert into shop.order_items (order_id, product_id, sku, quantity, price)
select o.id, p.id, p.sku, 1, p.price_euro
from shop.orders o join shop.products p on p.id in (1 + o.id % 12, 1 + (o.id + 5) % 12)
order by o.id;
