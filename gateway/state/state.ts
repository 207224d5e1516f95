/**
 * What must survive and be shared by all processes of one gateway installation: one small interface
 * over SQLite (one machine) and, later, PostgreSQL (several). All SQL is portable between both.
 */

import type { BackendServices } from '../../backends/backend.ts'

export interface State extends BackendServices {
  /** Small values of the gateway itself, such as the key check of the master key. */
  getSetting(name: string): Promise<string | undefined>
  setSetting(name: string, value: string): Promise<void>
  close(): Promise<void>
}
