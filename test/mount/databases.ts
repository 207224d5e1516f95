/** SQLite in a directory: locks, journals and shared memory, by several processes at once and over a kill. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { run, same } from './run.ts'

export type JournalMode = 'wal' | 'delete'

/** Writers at once lose no increment; a writer that is killed in a transaction leaves the database whole and without it. */
export async function sqlite(directory: string, mode: JournalMode): Promise<void> {
  const file = join(directory, `${mode}.db`)
  const ask = (sql: string) => run('sqlite3', ['-bail', '-batch', '-cmd', '.timeout 60000', file], { input: sql })
  const made = await ask(`pragma journal_mode=${mode}; ${table}`)
  same(made.trim(), mode, 'the journal mode')
  const writer = `${increment}\n`.repeat(15)
  await Promise.all(Array.from({ length: 4 }, () => ask(writer)))
  same(await ask('select n from counter;'), '60\n', 'increments of four processes')
  await ask(many)
  same(await ask('select count(*), sum(length(text)) from lines;'), '5000|1000000\n', 'rows')
  await killedWriter(file)
  same(await ask('pragma integrity_check;'), 'ok\n', 'the check after a writer was killed')
  same(await ask('select count(*) from lines; select n from counter;'), '5000\n60\n', 'what it had not committed')
  await ask('delete from lines where id % 2 = 0; vacuum; pragma wal_checkpoint(truncate);')
  same(await ask('pragma integrity_check; select count(*) from lines;'), 'ok\n2500\n', 'after a vacuum')
}

const table =
  'create table counter (n integer); insert into counter values (0); create table lines (id integer primary key, text text);'
const increment = 'begin immediate; update counter set n = n + 1; commit;'
const many = `
with recursive row(id) as (select 1 union all select id + 1 from row where id < 5000)
insert into lines select id, substr(hex(randomblob(100)), 1, 200) from row;
`

/** Changes much more than fits into the cache of a connection, so that it is in the file, and is killed before it commits. */
async function killedWriter(file: string): Promise<void> {
  const child = spawn('sqlite3', ['-batch', file], { stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  child.stdin.write('pragma cache_size=10; begin immediate; update lines set text = zeroblob(200);\n')
  child.stdin.write("update counter set n = -1; select 'changed';\n")
  await Promise.race([once(child.stdout, 'data'), closed])
  child.kill('SIGKILL')
  await closed
}
