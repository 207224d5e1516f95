/** All commands of `portolan`, and how they end. */

import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { aclCommand } from './acl.ts'
import { appPasswordCommand } from './app-password.ts'
import { banCommand } from './ban.ts'
import { catCommand } from './cat.ts'
import { checkCommand } from './check.ts'
import { completionCommand } from './completion.ts'
import { exitCode, exitHelp, report, systemFailure } from './exit.ts'
import { explainCommand } from './explain.ts'
import { linkCommand } from './link.ts'
import { localityCommand } from './locality.ts'
import { locksCommand, unlockCommand } from './locks.ts'
import { loginCommand, logoutCommand } from './login.ts'
import { lsCommand } from './ls.ts'
import { macaroonCommand } from './macaroon.ts'
import { mountCommand } from './mount.ts'
import { mountsCommand } from './mounts.ts'
import { complain, visible } from './output.ts'
import { putCommand } from './put.ts'
import { releaseCommand } from './release.ts'
import { rmCommand } from './rm.ts'
import { s3KeyCommand } from './s3-key.ts'
import { serveCommand } from './serve.ts'
import { sessionCommand } from './session.ts'
import { shareCommand } from './share.ts'
import { stageCommand } from './stage.ts'
import { tokenCommand } from './token.ts'
import { umountCommand } from './umount.ts'
import { uploadsCommand } from './uploads.ts'
import { whoamiCommand } from './whoami.ts'

const makers = [
  serveCommand,
  checkCommand,
  loginCommand,
  logoutCommand,
  whoamiCommand,
  lsCommand,
  catCommand,
  mountsCommand,
  locksCommand,
  unlockCommand,
  uploadsCommand,
  putCommand,
  rmCommand,
  aclCommand,
  explainCommand,
  localityCommand,
  stageCommand,
  releaseCommand,
  tokenCommand,
  shareCommand,
  macaroonCommand,
  appPasswordCommand,
  s3KeyCommand,
  sessionCommand,
  banCommand,
  linkCommand,
  mountCommand,
  umountCommand,
  completionCommand,
]

/** Runs one command line, without the program's name, and gives the exit code. Never throws. */
export async function run(words: readonly string[]): Promise<number> {
  // A reader such as `head` that has seen enough is no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCode.done)
    complain(`standard output: ${systemFailure(error) ?? error.code}`)
    process.exit(exitCode.failed)
  })
  checkCertificates()
  const status: Status = { code: exitCode.done }
  try {
    await programOf(status).parseAsync(words, { from: 'user' })
  } catch (error) {
    // Commander has printed it already: help and the version are no failures.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage
    return report(error)
  }
  return status.code
}

/** Where a command leaves its exit code when it is neither done nor failed by an error. */
export interface Status {
  code: number
}

function programOf(status: Status): Command {
  const program = new Command('portolan')
    .description('One namespace over GPFS, dCache and project space, with the NFSv4 ACLs of the storage.')
    .version(version(), '-V, --version')
    .addHelpText('after', exitHelp)
    .showHelpAfterError('(see --help)')
    .exitOverride()
    .configureOutput(quietly)
  for (const make of makers) {
    const command = make(status)
    prepare(command)
    program.addCommand(command)
  }
  return program
}

/** Commander repeats words of the command line in its messages. */
const quietly = { writeErr: (text: string) => void process.stderr.write(visible(text)) }

function prepare(command: Command): void {
  command.configureOutput(quietly)
  command.exitOverride().addHelpText('after', exitHelp).showHelpAfterError('(see --help)')
  for (const child of command.commands) prepare(child)
}

/** From the package this file is in, run from the source or built into dist/. */
function version(): string {
  for (const place of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as Record<
        string,
        unknown
      >
      if (name === 'portolan' && typeof version === 'string') return version
    } catch {
      // Not there: the other place has it.
    }
  }
  return 'unknown'
}

/** Node would trust any server then, for issuers and storages too: an authority is named by `--ca` or NODE_EXTRA_CA_CERTS. */
function checkCertificates(): void {
  const name = 'NODE_TLS_REJECT_UNAUTHORIZED'
  if (process.env[name] !== '0') return
  delete process.env[name]
  complain(`${name} is ignored: certificates are always checked`)
}
