-- The shop of the search, once tracked and once not: {s} is the schema. The tables are made first, then
-- a conversion view of changes.rs, then the triggers of the application.
create schema {s} authorization shop_owner;
create schema {s}_aside authorization shop_owner;
set role shop_owner;
create table {s}.customers (id bigint primary key, email text, consent boolean);
insert into {s}.customers select n, 'qxupheaval' || n || '@example.com', n % 4 > 0 from generate_series(0, 9) n;
-- What the loopback reads: nothing in here ever changes.
create table {s}.stock (id bigint primary key, sku text);
insert into {s}.stock select n, 'SKU-' || n from generate_series(0, 9) n;
create table {s}.log (id bigint, what text);
-- Which rows were conversions at a commit, by the number of the transaction.
create table {s}.book (id bigint, turn bigint, primary key (id, turn));
grant usage on schema {s}, {s}_aside to app;
reset role;
create foreign table {s}.remote_stock (id bigint, sku text) server loopback options (schema_name '{s}', table_name 'stock');
alter foreign table {s}.remote_stock owner to shop_owner;
grant select, insert, update, delete on all tables in schema {s} to app;
