/** Everyday programs in a directory: each proof throws where one does not do what it does on a local file system. */

import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { run, same, shell } from './run.ts'

const home = resolve(import.meta.dirname, '../..')

/** What coreutils(1) do with files, directories, links and times. */
export async function coreutils(directory: string): Promise<void> {
  await shell(directory, filesAndDirectories)
  await shell(directory, linksAndTimes)
  await shell(directory, sizesAndHoles)
}

const filesAndDirectories = `
mkdir -p files/a/b/c; cd files
printf 'one\\ntwo\\nthree\\n' > list
cat list | tac > reversed; test "$(head -n 1 reversed)" = three
sort list -o list; test "$(tr '\\n' ' ' < list)" = 'one three two '
cp list a/copy; cmp list a/copy
mv a/copy a/b/moved; test ! -e a/copy; cmp list a/b/moved
echo more >> list; test "$(wc -l < list)" -eq 4
head -c 3000000 /dev/urandom > large; cp large a/large; cmp large a/large
test "$(sha256sum < large)" = "$(sha256sum < a/large)"
split -b 700000 large part.; cat part.* | cmp - large
dd if=large of=sparse bs=4096 skip=10 seek=100 count=1 conv=notrunc status=none
cmp -n 4096 -i 40960:409600 large sparse
dd if=/dev/zero of=large bs=1 seek=1234567 count=10 conv=notrunc status=none; test "$(stat -c %s large)" -eq 3000000
set -C; if (echo again > list) 2>/dev/null; then echo 'noclobber made a file anew'; exit 1; fi; set +C
mkdir twice; if mkdir twice 2>/dev/null; then echo 'a directory was made twice'; exit 1; fi
if rmdir a 2>/dev/null; then echo 'a full directory was removed'; exit 1; fi
if cat a 2>/dev/null; then echo 'a directory was read as a file'; exit 1; fi
mkdir from to; echo x > from/x; mv -T from to; test "$(cat to/x)" = x; test ! -e from
long=$(printf 'n%.0s' $(seq 255)); echo long > "$long"; test "$(cat "$long")" = long; rm "$long"
if echo x > "n$long" 2>/dev/null; then echo 'a name of 256 bytes'; exit 1; fi
touch -- '-dash' 'with space' 'quo"te' 'new
line' 'ü🦑' '*'; test "$(ls -1q | wc -l)" -ge 13
rm -- '-dash' 'with space' 'quo"te' 'new
line' 'ü🦑' '*'
test "$(find . -type f | wc -l)" -eq "$(find . -type f -print0 | tr -cd '\\0' | wc -c)"
du -s . > /dev/null; df . > /dev/null
rm -r a to twice; rm -f -- *; test -z "$(ls -A)"
`

const linksAndTimes = `
mkdir links; cd links
echo content > file
touch -d '2001-02-03 04:05:06.123456789Z' file
test "$(stat -c %Y file)" -eq 981173106
touch -r file other; test "$(stat -c %Y other)" -eq 981173106
test ! file -nt other
chmod 640 file; test "$(stat -c %a file)" = 640
chmod u+x file; test -x file
ln -s file soft; test "$(readlink soft)" = file; test "$(cat soft)" = content
ln -s nowhere dangling; if cat dangling 2>/dev/null; then exit 1; fi
ln file hard; test "$(stat -c %h file)" -eq 2; test "$(stat -c %i file)" -eq "$(stat -c %i hard)"
echo changed > hard; test "$(cat file)" = changed
rm file; test "$(cat hard)" = changed; test "$(stat -c %h hard)" -eq 1
cp -a soft copied; test "$(readlink copied)" = file
exec 3< hard; rm hard; test "$(cat <&3)" = changed; exec 3<&-
echo old > a; echo new > b; exec 4< a; mv b a; test "$(cat <&4)" = old; test "$(cat a)" = new; exec 4<&-
exec 5> kept; rm kept; echo more >&5; exec 5>&-; test ! -e kept
touch -a -d '2010-01-01Z' other; test "$(stat -c %Y other)" -eq 981173106
`

const sizesAndHoles = `
mkdir sizes; cd sizes
truncate -s 5G huge; test "$(stat -c %s huge)" -eq 5368709120
printf end | dd of=huge bs=1 seek=4999999999 conv=notrunc status=none
test "$(dd if=huge bs=1 skip=4999999999 count=3 status=none)" = end
test "$(dd if=huge bs=1M skip=3000 count=1 status=none | tr -d '\\0' | wc -c)" -eq 0
truncate -s 10 huge; test "$(stat -c %s huge)" -eq 10
truncate -s 100 huge; test "$(tr -d '\\0' < huge | wc -c)" -eq 0
fallocate -l 100000 room; test "$(stat -c %s room)" -eq 100000
head -c 100000 /dev/urandom > room; cp room whole
fallocate -p -o 4096 -l 8192 room
cmp -n 4096 room whole; cmp -i 12288 room whole
test "$(dd if=room bs=4096 skip=1 count=2 status=none | tr -d '\\0' | wc -c)" -eq 0
`

/** tar(1) takes a tree in and out again, with modes, times, links and holes. */
export async function tarTree(directory: string): Promise<void> {
  const source = temporary('tar')
  try {
    await makeSource(source)
    await run('tar', ['--format=posix', '-cf', join(directory, 'tree.tar'), '-C', source, '.'])
    mkdirSync(join(directory, 'out'))
    await run('tar', ['-xpf', join(directory, 'tree.tar'), '-C', join(directory, 'out')])
    // Of whoever is not root, tar leaves the modes of new files to open(2), where an inherited ACL counts instead.
    const seen = async (place: string) =>
      process.geteuid?.() === 0 ? listing(place) : withoutModes(await listing(place))
    same(await seen(join(directory, 'out')), await seen(source), 'what tar wrote')
    await run('diff', ['-r', '--no-dereference', source, join(directory, 'out')])
  } finally {
    rmSync(source, { recursive: true })
  }
}

/** `rsync -a` copies a tree, finds nothing to do the second time, and copies what changed the third time. */
export async function rsync(directory: string): Promise<void> {
  const source = temporary('rsync')
  try {
    await makeSource(source)
    const copy = join(directory, 'copy')
    const sync = (...more: string[]) => run('rsync', ['-a', '--delete', ...more, `${source}/`, copy])
    await sync('-H')
    same(await listing(copy), await listing(source), 'what rsync wrote')
    const again = (await sync('-H', '--itemize-changes')).split('\n')
    // A storage whose rights are in ACLs may keep no owner of a link.
    const left = again.filter((line) => line !== '' && !/^\.L\.{4}[o.]g/.test(line))
    same(left, [], 'what rsync finds to do the second time')
    await shell(source, 'echo more >> d1/f1; rm d2/f2; mkdir d9; echo x > d9/x; truncate -s 100 big')
    await sync('--inplace')
    await run('diff', ['-r', '--no-dereference', source, copy])
    await run('rsync', ['-a', '--checksum', '--dry-run', `${copy}/`, `${source}/`])
  } finally {
    rmSync(source, { recursive: true })
  }
}

/**
 * A repository of this project's own sources is cloned, built (type check and compilation by `tsc`) and used: branches,
 * commits, a garbage collection and git's own check of every object.
 */
export async function gitClone(directory: string): Promise<void> {
  const origin = temporary('git')
  const clone = join(directory, 'clone')
  const git = (cwd: string, ...args: string[]) =>
    run('git', ['-c', 'user.name=Test', '-c', 'user.email=test@lab.example', '-c', 'safe.directory=*', ...args], {
      cwd,
    })
  try {
    for (const part of ['gateway', 'acl', 'backends', 'mounts', 'deploy', 'docs', 'package.json', 'tsconfig.json'])
      cpSync(join(home, part), join(origin, part), { recursive: true })
    await git(origin, 'init', '-q', '-b', 'main')
    await git(origin, 'add', '.')
    await git(origin, 'commit', '-q', '-m', 'all of it')
    await git(directory, 'clone', '-q', `file://${origin}`, clone)
    same(await git(clone, 'status', '--porcelain'), '', 'a fresh clone')
    symlinkSync(join(home, 'node_modules'), join(clone, 'node_modules'))
    await run(process.execPath, [compiler, '-p', 'deploy/tsconfig.build.json'], { cwd: clone })
    same(existsSync(join(clone, 'dist/gateway/cli.js')), true, 'the compiled program is there')
    const help = await run(process.execPath, ['dist/gateway/cli.js', '--help'], { cwd: clone })
    same(help.includes('portolan'), true, 'the compiled program runs')
    await git(clone, 'checkout', '-q', '-b', 'branch')
    await shell(clone, 'echo more >> package.json; git -c safe.directory="*" diff --stat | grep -q package.json')
    await git(clone, 'commit', '-q', '-a', '-m', 'more')
    await git(clone, 'checkout', '-q', 'main')
    await git(clone, 'merge', '-q', 'branch')
    await git(clone, 'gc', '-q')
    await git(clone, 'fsck', '--strict')
    same(await git(clone, 'status', '--porcelain', '--untracked-files=no'), '', 'the clone at the end')
  } finally {
    rmSync(origin, { recursive: true })
  }
}

const compiler = join(home, 'node_modules/typescript/bin/tsc')

/** A compiler and a linker, which write a file out of order and read it back. */
export async function compiling(directory: string): Promise<void> {
  const parts = Array.from({ length: 20 }, (_, index) => index)
  for (const index of parts)
    writeFileSync(join(directory, `p${index}.c`), `int p${index}(int x) { return x + ${index}; }\n`)
  const calls = parts.map((index) => `p${index}(1)`).join(' + ')
  const declared = parts.map((index) => `int p${index}(int);`).join('')
  writeFileSync(
    join(directory, 'main.c'),
    `#include <stdio.h>\n${declared}int main(void) { printf("%d\\n", ${calls}); }\n`,
  )
  await shell(directory, 'for f in *.c; do gcc -g -c "$f"; done; ar rcs libparts.a p*.o; gcc -o sum main.o -L. -lparts')
  same(await shell(directory, './sum; strip sum; ./sum'), '210\n210\n', 'the sum that was compiled')
}

/** A tree with everything that archives know; times lie in the past, so that nothing differs by the clock. */
async function makeSource(source: string): Promise<void> {
  const script = `
for d in 1 2 3 4 5; do
  mkdir d$d; for f in 1 2 3 4 5 6 7 8; do head -c $((d * f * 1000)) /dev/urandom > d$d/f$f; done
done
head -c 5000000 /dev/urandom > big; mkdir empty; : > nothing; ln -s d1/f1 soft; ln -s /nowhere away; ln big again
truncate -s 3M hole; printf end >> hole; chmod 700 d1/f1; chmod 444 d1/f2; chmod 750 d3
mkdir 'ü🦑 with space'; echo x > 'ü🦑 with space/new
line'
find . -depth -exec touch -h -d '2020-02-02 02:02:02.5Z' {} +
`
  await shell(source, script)
}

/** Types, modes, times, targets and names; of what is no directory links and sizes too. */
async function listing(directory: string): Promise<string[]> {
  const format = '%y %m %T@ %n:%s %l|%P\\0'
  const text = await run('find', [directory, '-mindepth', '1', '-printf', format])
  return text
    .split('\0')
    .map((line) => line.replace(/^(d \d+ [\d.]+) \d+:\d+/, '$1'))
    .toSorted()
}

function withoutModes(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/^(\w) \d+/, '$1')).toSorted()
}

function temporary(name: string): string {
  return mkdtempSync(join(tmpdir(), `portolan-${name}-`))
}
