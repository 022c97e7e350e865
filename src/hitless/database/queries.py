"""The fixed SQL of the room: its own tables, and what is asked of the catalogue. Pure."""

SETUP = """
CREATE SCHEMA IF NOT EXISTS hitless;
CREATE TABLE IF NOT EXISTS hitless.schema_change (
  version text PRIMARY KEY,
  old_version text,
  state text NOT NULL CHECK (state IN ('expanded', 'backfilled', 'verified', 'current', 'past')),
  compiled jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX IF NOT EXISTS schema_change_one_open
  ON hitless.schema_change ((true)) WHERE state IN ('expanded', 'backfilled', 'verified');
CREATE TABLE IF NOT EXISTS hitless.migration (
  name text NOT NULL, checksum text NOT NULL, version text NOT NULL, direction text NOT NULL, text text NOT NULL,
  who text NOT NULL DEFAULT current_user, at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS hitless.checkpoint (
  version text NOT NULL, base text NOT NULL, last text[], rows bigint NOT NULL DEFAULT 0,
  done boolean NOT NULL DEFAULT false, PRIMARY KEY (version, base)
);
"""

COLUMNS = """
SELECT c.relname AS base, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable, pg_get_expr(d.adbin, d.adrelid) AS expression,
       (a.attidentity <> '' OR a.attgenerated <> '') AS generated
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
ORDER BY c.relname, a.attnum
"""

INDEXES = """
SELECT c.relname AS base, i.relname AS name, x.indisunique AS is_unique, x.indisprimary AS is_primary,
       EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.oid AND k.contype = 'u') AS is_constraint,
       pg_get_indexdef(i.oid) AS definition,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(number, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number ORDER BY k.place) AS columns
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY i.relname
"""

CONSTRAINTS = """
SELECT c.relname AS base, k.conname AS name, k.contype::text AS kind, pg_get_constraintdef(k.oid) AS definition,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) AS n(number)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = n.number) AS columns
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = 'public'::regnamespace AND k.contype IN ('c', 'f', 'u', 'p', 'x') ORDER BY k.conname
"""

# who has been in a transaction for a while and holds a lock on one of the tables
BLOCKERS = """
SELECT a.pid, left(coalesce(a.query, ''), 120) AS query, extract(epoch FROM now() - a.xact_start)::float8 AS age_s
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - interval '500 milliseconds'
  AND EXISTS (SELECT 1 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
              WHERE l.pid = a.pid AND l.granted
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND c.relname = ANY(%s) AND c.relnamespace = 'public'::regnamespace)
ORDER BY a.xact_start LIMIT 1
"""

SESSIONS = """
SELECT pid, application_name AS name, coalesce(client_addr::text, 'local') AS peer FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND application_name <> 'hitless' ORDER BY pid
"""

VIEWS = """
SELECT table_name::text AS name, array_agg(column_name::text ORDER BY ordinal_position) AS columns
FROM information_schema.columns WHERE table_schema = %s GROUP BY table_name
"""
