/**
 * The thread that holds the SQLite connection of one process, so that neither a lock held by another
 * process nor a slow disk ever stops the event loop. It answers one statement at a time.
 */

import { chmodSync, closeSync, constants, openSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'

export interface Question {
  readonly id: number
  readonly sql: string
  readonly parameters: readonly unknown[]
}

export type Answer =
  | { readonly id: number; readonly rows: readonly unknown[]; readonly changes: bigint }
  /** `errcode` is SQLite's extended result code; 0 for anything else. */
  | { readonly id: number; readonly failed: string; readonly errcode: number }

export interface ThreadData {
  readonly file: string
  /** Milliseconds to wait for another process before SQLITE_BUSY. */
  readonly patience: number
}

/** Statements kept compiled; ours are a few dozen. */
const maxStatements = 100

/** SQLITE_BUSY */
const busy = 5
/** Milliseconds. */
const busyPause = 10

function open(data: ThreadData): DatabaseSync {
  // Made by us first, so that the mode does not hang on the umask; SQLite gives -wal and -shm the same.
  closeSync(openSync(data.file, constants.O_CREAT | constants.O_RDWR | constants.O_NOFOLLOW, 0o600))
  chmodSync(data.file, 0o600)
  const database = new DatabaseSync(data.file, { timeout: data.patience })
  useWal(database, data.patience)
  // A commit survives the death of any process; those that must survive a power cut ask for `full`.
  database.exec('pragma synchronous = normal')
  database.exec('pragma foreign_keys = on')
  return database
}

/** Where another process does the same to a new file, SQLite may say at once that it is busy: its own patience does not count here. */
function useWal(database: DatabaseSync, patience: number): void {
  const until = performance.now() + patience
  for (;;) {
    try {
      database.exec('pragma journal_mode = wal')
      return
    } catch (error) {
      if ((error as { readonly errcode?: unknown }).errcode !== busy || performance.now() > until) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyPause)
    }
  }
}

function answerWith(database: DatabaseSync): (question: Question) => Answer {
  const statements = new Map<string, StatementSync>()

  function prepare(sql: string): StatementSync {
    const known = statements.get(sql)
    if (known) return known
    const statement = database.prepare(sql)
    if (statements.size >= maxStatements) statements.clear()
    statements.set(sql, statement)
    return statement
  }

  return ({ id, sql, parameters }) => {
    try {
      // A full disk has ended the transaction already (https://www.sqlite.org/lang_transaction.html, section 3); that
      // there is nothing to roll back must not be what the caller is told.
      if (sql === 'rollback' && !database.isTransaction) return { id, rows: [], changes: 0n }
      const statement = prepare(sql)
      const values = parameters as readonly SQLInputValue[]
      if (statement.columns().length > 0) return { id, rows: statement.all(...values), changes: 0n }
      return { id, rows: [], changes: BigInt(statement.run(...values).changes) }
    } catch (error) {
      return failure(id, error)
    }
  }
}

function failure(id: number, error: unknown): Answer {
  const errcode = (error as { readonly errcode?: unknown }).errcode
  return { id, failed: String(error), errcode: typeof errcode === 'number' ? errcode : 0 }
}

/** The first message is the outcome of opening, with id 0; every later one answers a question. */
function serve(port: NonNullable<typeof parentPort>): void {
  let database: DatabaseSync
  try {
    database = open(workerData as ThreadData)
  } catch (error) {
    port.postMessage(failure(0, error))
    port.close()
    return
  }
  const answer = answerWith(database)
  port.on('message', (question: Question | 'close') => {
    if (question === 'close') {
      database.close()
      port.close()
    } else {
      port.postMessage(answer(question))
    }
  })
  port.postMessage({ id: 0, rows: [], changes: 0n } satisfies Answer)
}

if (parentPort) serve(parentPort)
