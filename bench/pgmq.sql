-- A queue after the documented behaviour of pgmq, for bench/delivery.py: a read hides messages
-- until a time, and whoever has done them deletes or archives them. Written for this benchmark.

create table bench.queue (
    msg_id bigint primary key generated always as identity,
    read_ct integer not null default 0,
    enqueued_at timestamptz not null default now(),
    vt timestamptz not null,
    message jsonb
);
create index queue_vt on bench.queue (vt);

create table bench.queue_archive (
    msg_id bigint primary key,
    read_ct integer not null,
    enqueued_at timestamptz not null,
    archived_at timestamptz not null default now(),
    vt timestamptz not null,
    message jsonb
);
create index queue_archive_at on bench.queue_archive (archived_at);

create function bench.read(hide_seconds integer, quantity integer)
returns table (msg_id bigint, message jsonb)
language sql volatile
begin atomic
    with picked as (
        select q.msg_id from bench.queue q
        where q.vt <= clock_timestamp()
        order by q.msg_id
        limit quantity
        for update skip locked
    )
    update bench.queue q
    set vt = clock_timestamp() + make_interval(secs => hide_seconds), read_ct = q.read_ct + 1
    from picked p
    where q.msg_id = p.msg_id
    returning q.msg_id, q.message;
end;

create function bench.delete(ids bigint[]) returns bigint
language sql volatile
begin atomic
    with gone as (delete from bench.queue q where q.msg_id = any (ids) returning 1)
    select count(*) from gone;
end;

create function bench.archive(ids bigint[]) returns bigint
language sql volatile
begin atomic
    with gone as (
        delete from bench.queue q where q.msg_id = any (ids)
        returning q.msg_id, q.read_ct, q.enqueued_at, q.vt, q.message
    ), kept as (
        insert into bench.queue_archive (msg_id, read_ct, enqueued_at, vt, message)
        select * from gone
        returning 1
    )
    select count(*) from kept;
end;
