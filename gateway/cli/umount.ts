/** `portolan umount`: takes a mount of ours away. */

import { Command } from 'commander'
import { sayJson } from './output.ts'

interface UmountWords {
  readonly lazy?: boolean
  readonly json?: boolean
}

const help = `
Every file that was closed is stored already. While a file or directory of the mount is in use it stays, and the
processes are named; with --lazy it is taken out of the tree at once and ends when nothing uses it any more.`

export function umountCommand(): Command {
  return new Command('umount')
    .description('take away a mount that `portolan mount` has made')
    .argument('<directory>', 'where it is mounted')
    .option('-l, --lazy', 'also while it is in use, or when its program has died')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async (given: string, { lazy = false, json }: UmountWords) => {
      // No other command needs them, and they take time to load.
      const { detachMount } = await import('../../mounts/fuse/mounting/detach.ts')
      const { mountPoint } = await import('../../mounts/fuse/mounting/place.ts')
      const directory = await mountPoint(given)
      const { source } = await detachMount(directory, given, lazy)
      if (json) await sayJson({ directory, source, lazy })
    })
}
