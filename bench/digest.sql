-- Digests per second of every identifier field against plain SQL on the same values. Run by
-- bench/digest.sh, which prints the table of docs/contributing/benchmarks.md.
--
--     rows     values per field
--     rounds   measurements of each; the two take turns, and their medians count

\set ON_ERROR_STOP on
\if :{?rows} \else \set rows 100000 \endif
\if :{?rounds} \else \set rounds 7 \endif
set client_min_messages = warning;
set max_parallel_workers_per_gather = 0;
set jit = off;

drop schema if exists bench cascade;
create schema bench;

-- The n-th value of a stream, from 0 to below - 1; always the same.
create function bench.pick(n integer, stream integer, below integer) returns integer
language sql immutable strict parallel safe
return ((hashint4extended(n, stream) % below) + below) % below;

create function bench.one_of(n integer, stream integer, list text[]) returns text
language sql immutable strict parallel safe
return list[1 + bench.pick(n, stream, cardinality(list))];

-- A word of two to four syllables; in addresses, of ASCII letters.
create function bench.word(n integer, stream integer, is_ascii boolean default false) returns text
language sql immutable strict parallel safe
return (
    select string_agg(bench.one_of(n, stream * 10 + s, case when is_ascii
        then '{ba,ken,li,mo,ra,sten,ti,vo,an,der,mar,jo,se,lu,ca,fer,nan,dez,schmi,dt,oe,ski}'
        else '{ba,ken,li,mo,ra,sten,ti,vo,an,der,mar,jo,se,lu,ca,fer,nan,dez,schmi,dt,ö,é,ström,ski}' end::text[]), '')
    from generate_series(1, 2 + bench.pick(n, stream, 3)) s);

create function bench.value(field text, n integer) returns text
language sql stable parallel safe
return case field
    when 'email' then
        case bench.pick(n, 1, 20) when 0 then ' ' else '' end
        || case when bench.pick(n, 2, 8) = 0 then initcap(bench.word(n, 3, true)) else bench.word(n, 3, true) end
        || bench.one_of(n, 4, '{.,_,-,"",.}') || bench.word(n, 5, true) || bench.pick(n, 6, 10000)
        || case bench.pick(n, 7, 25) when 0 then '+shop' else '' end
        || '@' || bench.one_of(n, 8, '{gmail.com,gmail.com,gmail.com,hotmail.com,yahoo.com,outlook.com,icloud.com,web.de,orange.fr,Gmail.com,company.co.uk,example.com}')
    when 'phone' then case bench.pick(n, 1, 8)
        when 0 then '+1 (' || 212 + bench.pick(n, 2, 5) * 101 || ') 555-' || lpad(bench.pick(n, 3, 10000)::text, 4, '0')
        when 1 then '+1' || 212 + bench.pick(n, 2, 5) * 101 || 2000000 + bench.pick(n, 3, 7999999)
        when 2 then '+44 20 79' || lpad(bench.pick(n, 2, 100)::text, 2, '0') || ' ' || lpad(bench.pick(n, 3, 10000)::text, 4, '0')
        when 3 then '+4915' || 1 + bench.pick(n, 2, 9) || lpad(bench.pick(n, 3, 100000000)::text, 8, '0')
        when 4 then '+33 6 ' || lpad(bench.pick(n, 2, 10000)::text, 4, '0') || ' ' || lpad(bench.pick(n, 3, 10000)::text, 4, '0')
        when 5 then '0034 6' || lpad(bench.pick(n, 2, 100000000)::text, 8, '0')
        when 6 then '+55 (11) 9' || 6000 + bench.pick(n, 2, 3999) || '-' || lpad(bench.pick(n, 3, 10000)::text, 4, '0')
        else '+61 4' || lpad(bench.pick(n, 2, 100000000)::text, 8, '0') end
    when 'phone of a country' then case bench.pick(n, 1, 3)
        when 0 then '(' || 212 + bench.pick(n, 2, 5) * 101 || ') ' || 200 + bench.pick(n, 3, 700) || '-' || lpad(bench.pick(n, 4, 10000)::text, 4, '0')
        when 1 then 212 + bench.pick(n, 2, 5) * 101 || '.' || 200 + bench.pick(n, 3, 700) || '.' || lpad(bench.pick(n, 4, 10000)::text, 4, '0')
        else '1' || 212 + bench.pick(n, 2, 5) * 101 || 2000000 + bench.pick(n, 3, 7999999) end
    when 'first_name' then initcap(bench.word(n, 1)) || case bench.pick(n, 2, 12) when 0 then '-' || initcap(bench.word(n, 3)) when 1 then ' ' || bench.word(n, 3) else '' end
    when 'last_name' then case bench.pick(n, 1, 15) when 0 then 'O''' when 1 then 'van der ' else '' end || initcap(bench.word(n, 2)) || bench.word(n, 3)
    when 'gender' then bench.one_of(n, 1, '{f,m,F,M,female,male,Female,Male}')
    when 'date_of_birth' then case bench.pick(n, 1, 3)
        when 0 then to_char(date '1930-01-01' + bench.pick(n, 2, 28000), 'YYYY-MM-DD')
        when 1 then to_char(date '1930-01-01' + bench.pick(n, 2, 28000), 'YYYYMMDD')
        else to_char(date '1930-01-01' + bench.pick(n, 2, 28000), 'YYYY/MM/DD') end
    when 'city' then bench.one_of(n, 1, '{"","","",St. ,New ,San }') || initcap(bench.word(n, 2)) || bench.one_of(n, 3, '{"",burg,ville,-sur-Mer," am Main"}')
    when 'state' then bench.one_of(n, 1, '{CA,NY,TX,California,New York,Texas,fl,Ohio,Québec,Ontario,Bayern,NSW,England,Île-de-France,WA,Oregon}')
    when 'zip' then case bench.pick(n, 1, 3)
        when 0 then lpad(bench.pick(n, 2, 100000)::text, 5, '0')
        when 1 then lpad(bench.pick(n, 2, 100000)::text, 5, '0') || '-' || lpad(bench.pick(n, 3, 10000)::text, 4, '0')
        else 'SW' || bench.pick(n, 2, 99) || 'A ' || bench.pick(n, 3, 10) || chr(65 + bench.pick(n, 4, 26)) || chr(65 + bench.pick(n, 5, 26)) end
    when 'country' then bench.one_of(n, 1, '{US,us,USA,United States,GB,UK,United Kingdom,DE,Deutschland,Germany,FR,France,fr,ES,IT,BR,JP,CA}')
    when 'external_id' then case bench.pick(n, 1, 3)
        when 0 then 'User ' || n when 1 then n::text else md5(n::text)::uuid::text end
end;

-- What is measured: the label of the values, and how they are called.
create table bench.subject (n integer primary key, label text, field text, call text);
insert into bench.subject
select n, label, split_part(label, ' ', 1),
    case label
        when 'phone of a country' then $$capi.digest('phone', x, country => 'US')$$
        else format('capi.digest(%L, x)', label) end
from unnest('{email,phone,phone of a country,first_name,last_name,gender,date_of_birth,city,state,zip,country,external_id}'::text[])
    with ordinality l (label, n);

create table bench.result (label text, way text, round integer, seconds double precision, digests bigint);

create procedure bench.prepare(rows integer)
language plpgsql
as $$
declare
    s bench.subject;
begin
    for s in select * from bench.subject order by subject.n loop
        execute format('create table bench.v%s as select distinct bench.value(%L, n) as x
            from generate_series(1, %s * 3 / 2) n', s.n, s.label, rows);
        -- There are few genders: they are repeated up to the same number of rows.
        execute format('create table bench.w%s as select v.x from bench.v%1$s v, generate_series(1,
            (select 1 + %s / count(*) from bench.v%1$s)) order by random() limit %2$s', s.n, rows);
        execute format('drop table bench.v%s', s.n);
        execute format('analyze bench.w%s', s.n);
        commit;
    end loop;
end
$$;

create procedure bench.measure(rounds integer)
language plpgsql
as $$
declare
    s       bench.subject;
    started timestamptz;
    plain   constant text := 'encode(sha256(convert_to(lower(btrim(x)), ''UTF8'')), ''hex'')';
    way     text;
    n       bigint;
begin
    for round in 0 .. rounds loop
        for s in select * from bench.subject order by subject.n loop
            foreach way in array case round % 2 when 0 then '{capi,plain}'::text[] else '{plain,capi}' end loop
                started := clock_timestamp();
                execute format('select count(%s) from bench.w%s', case way when 'capi' then s.call else plain end, s.n) into n;
                -- Round 0 warms up.
                if round > 0 then
                    insert into bench.result
                    values (s.label, way, round, extract(epoch from clock_timestamp() - started), n);
                end if;
            end loop;
        end loop;
        commit;
    end loop;
end
$$;

-- The values that were measured.
create function bench.values_of(n integer) returns setof text
language plpgsql stable
as $$
begin
    return query execute format('select x from bench.w%s', n);
end
$$;

select setseed(0.5) \g /dev/null
call bench.prepare(:rows);
call bench.measure(:rounds);

\pset tuples_only on
\pset format unaligned
select '| values | distinct | kept | `capi.digest`, per second | plain SQL, per second | ratio | ns more per value |'
union all select '|---|--:|--:|--:|--:|--:|--:|';
with medians as (
    select label, way, percentile_cont(0.5) within group (order by seconds) as seconds, max(digests) as digests
    from bench.result group by label, way)
select format('| %s | %s | %s%% | %s | %s | %s | %s |', s.label, (select count(distinct x) from bench.values_of(s.n) x),
    round(100.0 * c.digests / :rows, 1),
    to_char(:rows / c.seconds, 'FM9,999,999'), to_char(:rows / p.seconds, 'FM9,999,999'),
    round((p.seconds / c.seconds)::numeric, 2),
    round(((c.seconds - p.seconds) / :rows * 1e9)::numeric))
from bench.subject s
join medians c on c.label = s.label and c.way = 'capi'
join medians p on p.label = s.label and p.way = 'plain'
order by s.n;
