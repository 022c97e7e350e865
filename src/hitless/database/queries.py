"""The fixed SQL of the room: its own tables, and what is asked of the catalogue. Pure."""

SETUP = """
CREATE SCHEMA IF NOT EXISTS hitless;
CREATE TABLE IF NOT EXISTS hitless.schema_change (
  space text NOT NULL DEFAULT current_schema(), version text NOT NULL,
  old_version text,
  state text NOT NULL CHECK (state IN ('expanded', 'backfilled', 'verified', 'current', 'past')),
  switched boolean NOT NULL DEFAULT false,
  compiled jsonb NOT NULL DEFAULT '{}',
  shape jsonb,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (space, version)
);
CREATE UNIQUE INDEX IF NOT EXISTS schema_change_one_open
  ON hitless.schema_change (space) WHERE state IN ('expanded', 'backfilled', 'verified');
CREATE TABLE IF NOT EXISTS hitless.migration (
  space text NOT NULL DEFAULT current_schema(),
  name text NOT NULL, checksum text NOT NULL, version text NOT NULL, direction text NOT NULL, text text NOT NULL,
  who text NOT NULL DEFAULT session_user, at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE hitless.migration ADD COLUMN IF NOT EXISTS
  person text DEFAULT nullif(current_setting('hitless.person', true), '');
CREATE TABLE IF NOT EXISTS hitless.checkpoint (
  space text NOT NULL DEFAULT current_schema(),
  version text NOT NULL, base text NOT NULL, last text[], rows bigint NOT NULL DEFAULT 0,
  done boolean NOT NULL DEFAULT false, PRIMARY KEY (space, version, base)
);
CREATE TABLE IF NOT EXISTS hitless.unmappable (
  space text NOT NULL DEFAULT current_schema(),
  version text NOT NULL, base text NOT NULL, key text[] NOT NULL, side text NOT NULL, why text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (space, version, base, key)
);
ALTER TABLE hitless.unmappable ADD COLUMN IF NOT EXISTS was text[];
CREATE INDEX IF NOT EXISTS unmappable_was ON hitless.unmappable (space, version, base, was) WHERE was IS NOT NULL;
CREATE TABLE IF NOT EXISTS hitless.rolling (
  space text NOT NULL DEFAULT current_schema(), version text NOT NULL, place text[] NOT NULL,
  rows bigint NOT NULL, sweeps bigint NOT NULL, PRIMARY KEY (space, version)
);
CREATE TABLE IF NOT EXISTS hitless.difference (
  space text NOT NULL DEFAULT current_schema(), version text NOT NULL, base text NOT NULL, key text[] NOT NULL,
  said text NOT NULL, last text[], bound text[], PRIMARY KEY (space, version, base, key)
);
ALTER TABLE hitless.difference ADD COLUMN IF NOT EXISTS total bigint NOT NULL DEFAULT 1,
  ADD COLUMN IF NOT EXISTS sweep bigint NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS looked_at timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE TABLE IF NOT EXISTS hitless.deferred (
  space text NOT NULL DEFAULT current_schema(), version text NOT NULL, base text NOT NULL, key text[] NOT NULL,
  PRIMARY KEY (space, version, base, key)
);
"""

IS_SET_UP = """
SELECT to_regclass('hitless.deferred') IS NOT NULL AND EXISTS (
  SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('hitless.difference') AND attname = 'looked_at')
  AND EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('hitless.migration') AND attname = 'person')
  AND to_regclass('hitless.unmappable_was') IS NOT NULL
  AS there
"""

# the schema of the base tables: the first on the connection's path that is none of ours
SPACE = """
SELECT coalesce((SELECT name FROM unnest(current_schemas(false)) WITH ORDINALITY AS s(name, place)
                 WHERE name !~ '^hitless' ORDER BY place LIMIT 1), 'public') AS space,
       current_setting('search_path') AS path
"""

PINNED = """
SELECT name, setting FROM pg_settings WHERE name IN ('TimeZone', 'DateStyle', 'IntervalStyle') ORDER BY name
"""

COLUMNS = """
SELECT c.relname AS base, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable, pg_get_expr(d.adbin, d.adrelid) AS expression, a.attgenerated <> '' AS computed,
       (a.attidentity <> '' OR a.attgenerated <> '') AS generated, a.attidentity = 'a' AS always,
       CASE WHEN a.attidentity <> '' OR d.oid IS NOT NULL THEN
         pg_get_serial_sequence(quote_ident(current_schema()) || '.' || quote_ident(c.relname), a.attname)
       END AS sequence,
       c.relkind = 'p' AS partitioned, c.relrowsecurity AS secured,
       c.relhastriggers AND EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
         AND t.tgtype::int & 3 = 3 AND t.tgname NOT IN ('!hitless_first', 'zzz_hitless_last')) AS own_triggers
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT 1 FROM pg_depend e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY c.relname, a.attnum
"""

INDEXES = """
SELECT c.relname AS base, i.relname AS name, x.indisunique AS is_unique, x.indisprimary AS is_primary,
       coalesce(k.contype = 'u', false) AS is_constraint,
       pg_get_indexdef(i.oid) AS definition,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(number, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
             WHERE k.place <= x.indnkeyatts ORDER BY k.place) AS columns
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.contype IN ('u', 'x')
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND k.contype IS DISTINCT FROM 'x'
ORDER BY i.relname
"""

CONSTRAINTS = """
SELECT c.relname AS base, k.conname AS name, k.contype::text AS kind, pg_get_constraintdef(k.oid) AS definition,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) AS n(number)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = n.number) AS columns,
       (SELECT relname FROM pg_class t WHERE t.oid = k.confrelid) AS target,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS n(number, place)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.number ORDER BY n.place) AS target_columns
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND k.contype IN ('c', 'f', 'u', 'p', 'x')
  AND NOT c.relispartition ORDER BY k.conname
"""

# who has been in a transaction for a while and holds a lock on one of the tables
BLOCKERS = """
SELECT a.pid, left(coalesce(a.query, ''), 120) AS query, extract(epoch FROM now() - a.xact_start)::float8 AS age_s
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - make_interval(secs => %s)
  AND EXISTS (SELECT 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
              WHERE l.pid = a.pid AND l.granted
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND c.relname = ANY(%s) AND c.relnamespace = quote_ident(current_schema())::regnamespace)
ORDER BY a.xact_start LIMIT 1
"""

# Of other roles' sessions an ordinary role sees no name and no kind: they count as well. Who may use none of the tables
# uses no version of them: a pooler that looks up passwords, a monitor. Nor does a replica.
SESSIONS = """
WITH used AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'v')
                AND (n.nspname = current_schema() OR starts_with(n.nspname, 'hitless_'))),
     roles AS MATERIALIZED (
       SELECT r.oid, r.rolname::text AS name FROM pg_roles r
       WHERE r.oid IN (SELECT usesysid FROM pg_stat_activity WHERE datname = current_database())
         AND (NOT EXISTS (SELECT FROM used)
              OR EXISTS (SELECT FROM used, pg_roles may WHERE pg_has_role(r.oid, may.oid, 'MEMBER')
                         AND (has_any_column_privilege(may.oid, used.oid, 'SELECT,INSERT,UPDATE')
                              OR has_table_privilege(may.oid, used.oid, 'DELETE')))))
SELECT a.pid, coalesce(a.application_name, '') AS name, coalesce(a.client_addr::text, 'local') AS peer, r.name AS role
FROM pg_stat_activity a JOIN roles r ON r.oid = a.usesysid
WHERE a.datname = current_database() AND coalesce(a.backend_type, 'client backend') = 'client backend'
  AND a.pid <> pg_backend_pid() AND coalesce(a.application_name, '') NOT IN ('hitless', 'hitless flags')
  AND a.pid NOT IN (SELECT pid FROM pg_stat_replication WHERE pid IS NOT NULL) ORDER BY a.pid
"""

VIEWS = """
SELECT table_name::text AS name, array_agg(column_name::text ORDER BY ordinal_position) AS columns
FROM information_schema.columns WHERE table_schema = %s GROUP BY table_name
"""

# what would stop a column or a table from going: views, policies, triggers, generated columns, keys of other tables
DEPENDENTS = """
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) AS what
FROM pg_depend d
JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_class v ON v.oid = r.ev_class
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
LEFT JOIN pg_attribute g ON g.attrelid = f.adrelid AND g.attnum = f.adnum
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relname = %s
  AND (a.attname = ANY(%s) OR %s) AND d.deptype IN ('n', 'a')
  AND (r.oid IS NOT NULL AND v.oid <> c.oid AND v.relnamespace::regnamespace::text !~ '^"?hitless'
       OR f.oid IS NOT NULL AND f.adrelid = c.oid AND f.adnum <> d.refobjsubid AND NOT %s AND NOT g.attname = ANY(%s)
       OR k.oid IS NOT NULL AND k.contype = 'f' AND k.conrelid <> c.oid
       OR d.classid IN ('pg_policy'::regclass, 'pg_proc'::regclass) AND NOT (%s AND d.classid = 'pg_policy'::regclass)
       OR d.classid = 'pg_trigger'::regclass AND d.deptype = 'n' AND NOT %s)
"""

GRANTS = """
SELECT c.relname AS base,
       CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS role,
       array_agg(DISTINCT x.privilege_type) AS rights
FROM pg_class c, aclexplode(c.relacl) AS x
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND x.grantee <> c.relowner AND x.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
GROUP BY c.relname, x.grantee ORDER BY 1, 2
"""

# what a backfill watches: replicas, WAL written so far, the oldest transaction of others, and who else is at work
PRESSURE = """
SELECT coalesce((SELECT max(extract(epoch FROM replay_lag)) FROM pg_stat_replication), 0)::float8 AS lag_s,
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') END::float8 AS wal_bytes,
       coalesce((SELECT max(extract(epoch FROM now() - xact_start)) FROM pg_stat_activity
                 WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'), 0)::float8 AS oldest_s,
       EXISTS (SELECT 1 FROM pg_stat_activity  -- of other roles' sessions one may see no more than that they are there
               WHERE pid <> pg_backend_pid() AND usesysid IS NOT NULL
                 AND coalesce(backend_type, 'client backend') = 'client backend'
                 AND coalesce(application_name, '') NOT IN ('hitless', 'hitless flags')
                 AND (backend_type IS NULL OR state_change > clock_timestamp() - interval '1 s')) AS others
"""

SIZES = """
SELECT c.relname AS base, greatest(sum(greatest(p.reltuples, 0)), 0)::float8 AS rows,
       coalesce(sum(pg_relation_size(p.oid)), 0)::float8 AS heap_bytes,
       coalesce(sum(pg_indexes_size(p.oid)), 0)::float8 AS index_bytes
FROM pg_class c
JOIN LATERAL (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf AND c.relkind = 'p') AS t(id)
  ON true
JOIN pg_class p ON p.oid = t.id AND p.relkind = 'r'
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relname = ANY(%s) GROUP BY c.relname
"""

LEAVES = """
SELECT c.relname AS leaf, c.oid::regclass::text AS name FROM pg_partition_tree(to_regclass(%s)) t
JOIN pg_class c ON c.oid = t.relid WHERE t.isleaf ORDER BY 1
"""
