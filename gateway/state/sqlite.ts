/** SQLite for Kysely, through Node's own `node:sqlite` on a thread of its own (docs/decisions/0005-node-sqlite.md). */

import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import { type ErrorCode, StorageError } from '../core/errors.ts'
import type { Answer, Question, ThreadData } from './sqlite-thread.ts'

export interface Sqlite {
  /** For Kysely. Transactions take the write lock when they begin. */
  readonly dialect: Dialect
  /** Closes the file; what is asked of the store afterwards fails with `unavailable`. */
  close(): Promise<void>
}

/** Opens one database file on a thread of its own. Fails with StorageError. */
export async function openSqlite(data: ThreadData): Promise<Sqlite> {
  const connection = new Connection(data)
  await connection.opened()
  const dialect: Dialect = {
    createDriver: () => new ThreadDriver(connection),
    createAdapter: () => new SqliteAdapter(),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  }
  return { dialect, close: () => connection.close() }
}

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html). */
const codes: Readonly<Record<number, ErrorCode>> = {
  5: 'busy', // SQLITE_BUSY
  6: 'busy', // SQLITE_LOCKED
  8: 'unavailable', // SQLITE_READONLY
  10: 'unavailable', // SQLITE_IOERR
  11: 'unavailable', // SQLITE_CORRUPT
  13: 'no-space', // SQLITE_FULL
  14: 'unavailable', // SQLITE_CANTOPEN
  26: 'unavailable', // SQLITE_NOTADB
}

function failed(text: string, errcode: number): StorageError {
  const code = codes[errcode & 0xff] ?? 'internal'
  const retry = code === 'busy' ? { retryAfter: 1 } : {}
  return new StorageError(code, 'the state store failed', { ...retry, cause: new Error(`${text} (SQLite ${errcode})`) })
}

interface Waiting {
  resolve(answer: Extract<Answer, { rows: readonly unknown[] }>): void
  reject(error: StorageError): void
}

class Connection implements DatabaseConnection {
  readonly #thread: Worker
  readonly #waiting = new Map<number, Waiting>()
  #last = 0
  #gone = false

  constructor(data: ThreadData) {
    // The same extension as this file: `.ts` in the source tree, `.js` where it was built.
    const file = new URL(`./sqlite-thread${extname(import.meta.url)}`, import.meta.url)
    this.#thread = new Worker(file, { workerData: data, name: 'state', execArgv: [] })
    this.#thread.on('message', (answer: Answer) => this.#settle(answer))
    this.#thread.on('error', (error) => this.#lose(error))
    this.#thread.on('exit', () => this.#lose(undefined))
  }

  /** Resolves when the database is open. */
  opened(): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(0, { resolve, reject }))
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#gone) throw new StorageError('unavailable', 'the state store is closed')
    const id = ++this.#last
    const answer = await new Promise<Extract<Answer, { rows: readonly unknown[] }>>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#thread.postMessage({ id, sql: query.sql, parameters: query.parameters } satisfies Question)
    })
    // Kysely's result type is what the query builder says of the columns, which the driver cannot know.
    return { rows: answer.rows as R[], numAffectedRows: answer.changes }
  }

  // biome-ignore lint/correctness/useYield: nothing streams from the state store
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new StorageError('unsupported', 'the state store does not stream')
  }

  async close(): Promise<void> {
    if (this.#gone) return
    const exited = new Promise<void>((resolve) => this.#thread.once('exit', () => resolve()))
    this.#thread.postMessage('close')
    await exited
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('failed' in answer) waiting?.reject(failed(answer.failed, answer.errcode))
    else waiting?.resolve(answer)
  }

  #lose(cause: unknown): void {
    this.#gone = true
    for (const waiting of this.#waiting.values()) {
      waiting.reject(new StorageError('unavailable', 'the state store is closed', { cause }))
    }
    this.#waiting.clear()
  }
}

class ThreadDriver implements Driver {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  async init(): Promise<void> {
    // The connection was opened before Kysely got it.
  }

  async acquireConnection(): Promise<Connection> {
    return this.#connection
  }

  // `immediate`: a transaction that reads first could otherwise not become a writer when another process wrote.
  async beginTransaction(connection: Connection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'))
  }

  async commitTransaction(connection: Connection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'))
  }

  async rollbackTransaction(connection: Connection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback'))
  }

  async releaseConnection(): Promise<void> {
    // There is one connection; Kysely hands it to one user at a time.
  }

  async destroy(): Promise<void> {
    await this.#connection.close()
  }
}
