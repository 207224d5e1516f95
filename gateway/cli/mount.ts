/** `portolan mount`: the namespace as a directory of this machine. */

import { Command } from 'commander'
import { hasDied } from '../../mounts/fuse/mounting/died.ts'
import { type Mounted as MountedFileSystem, mounts, mountType } from '../../mounts/fuse/mounting/mountinfo.ts'
import { UsageError } from './exit.ts'
import { type MountWords, mountOptionsOf, takeMountFileOptions, withMountOptions } from './mount-options.ts'
import { harmless, say, sayJson, table } from './output.ts'
import type { Status } from './program.ts'

const help = `
The command returns once the mount answers (--foreground: when it ends). Without URL and DIRECTORY it lists the mounts
of this machine. The directory has to be there and empty; /dev/fd/N says that descriptor N is of /dev/fuse and mounted
already (mount.fuse3).

Root mounts by itself, also root of a user namespace (unshare -Urm); everybody else by fusermount3 (package fuse3).

With a COMMAND, that is run with the mount, which is taken away when it ends; signals are passed on to it, and its exit
code is that of portolan (128 and the signal where it was killed, 126 or 127 where it cannot be run). Who may not mount is
given namespaces for it (unshare of util-linux): nobody outside sees the mount then, and no privilege is needed but a
/dev/fuse that everybody may open.

The token is looked for in --token-file, BEARER_TOKEN, BEARER_TOKEN_FILE, the usual places (WLCG) and what
\`portolan login\` has kept, then a Kerberos ticket is tried. A file that somebody else renews is read again.

In /etc/fstab, with mount.portolan in /sbin:
  https://gateway.example/  /data  portolan  _netdev,token_file=/etc/portolan/token,account=1000:1000  0  0

The end: portolan umount DIRECTORY, umount, fusermount3 -u, or SIGTERM.

Examples:
  portolan mount https://gateway.example/ ~/data
  portolan mount https://gateway.example/ ~/data -- python3 analysis.py
  portolan mount https://gateway.example/project/alpha /data --token-file /run/secrets/token --read-only`

export function mountCommand(status: Status): Command {
  const command = withMountOptions(new Command('mount'))
    .description('show the namespace as a directory of this machine (FUSE)')
    .argument('[url]', 'the gateway, with a path of the namespace if not all of it is wanted')
    .argument('[directory]', 'where to; it must be empty')
    .argument('[command...]', 'behind --: run with the mount, which ends with it')
    .addHelpText('after', help)
  return command.action(async (url: string | undefined, directory: string | undefined, program: readonly string[]) => {
    takeMountFileOptions(command)
    const words = command.opts() as MountWords
    if (url === undefined) return await list(words)
    if (directory === undefined) throw new UsageError('mount: which DIRECTORY? (see --help)')
    // No other command needs these, and they are half of the time that a command takes to start.
    const { mountInBackground, roleOf, takeThreads } = await import('./mount-processes.ts')
    const role = roleOf(words)
    if (program.length === 0 && role === 'server') await takeThreads(directory, words)
    const options = await mountOptionsOf(url, directory, words)
    if (program.length > 0) {
      const { mountForCommand } = await import('./mount-command.ts')
      status.code = await mountForCommand(options, words, program)
    } else if (role === 'background') {
      await mountInBackground(options, words)
    } else {
      const { mountInForeground, mountSupervised } = await import('./mount-serving.ts')
      status.code = await (role === 'supervisor' ? mountSupervised : mountInForeground)(options, words)
    }
  })
}

async function list({ json }: MountWords): Promise<void> {
  const ours = (await mounts()).filter(({ type }) => type === mountType)
  const row = async ({ directory, source, options }: MountedFileSystem) => ({
    directory,
    source,
    readOnly: options.includes('ro'),
    user: Number(options.find((option) => option.startsWith('user_id='))?.slice(8) ?? 0),
    dead: await hasDied(directory),
  })
  const rows = await Promise.all(ours.map(row))
  if (json) return await sayJson({ mounts: rows })
  if (rows.length === 0) return
  const cells = rows.map(({ directory, source, readOnly, user, dead }) => [
    harmless(directory),
    harmless(source),
    `uid ${user}${readOnly ? ', read-only' : ''}${dead ? ', its program has died: portolan umount --lazy' : ''}`,
  ])
  await say(table(cells))
}
