#!/usr/bin/env node
/** The command `portolan`. */

import { run } from './cli/program.ts'

process.exitCode = await run(process.argv.slice(2))
// What a file system that hangs still holds must not keep the process from ending.
setTimeout(() => process.exit(), 2000).unref()
