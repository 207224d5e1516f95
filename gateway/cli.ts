#!/usr/bin/env node
/** The command `portolan`. */

import { run } from './cli/program.ts'

const status = await run(process.argv.slice(2))
process.exitCode = status
// What a file system or a KDC that hangs still holds must not keep the process from ending; process.exit would wait for it.
setTimeout(() => void leave(), 1000).unref()

async function leave(): Promise<void> {
  const { exitNow } = await import('./serve/way-out.ts')
  exitNow(status)
}
