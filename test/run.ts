/**
 * Runs all test files, each in its own process, and counts what tap reports.
 *
 *   node test/run.ts [--long] [FILE...]
 *
 * `*.test.ts` one more at a time than there are processors, since many mostly wait, beside them `*.alone.test.ts` one by
 * one (they load the machine, and never one another); with --long `*.long.ts` instead. Without FILEs up to five that
 * failed are run once more. The last line is `N passed, N failed`, from the assertions of all files.
 */

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmodSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Parser, type Result } from 'tap-parser'

interface Outcome {
  readonly file: string
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly seconds: number
  /** What a reader needs to see: failures with their diagnosis, skips with their reason. */
  readonly report: readonly string[]
}

const args = process.argv.slice(2)
const long = args.includes('--long')

/** So many files that fail may have failed for want of time; more are broken. */
const fewFailures = 5

/** A file that does not end by itself in this time, in ms, has failed. */
const limit = long ? 6 * 3_600_000 : 900_000

/**
 * What Node makes of a module is made once, and not in each of thousands of processes. Those of other accounts write there,
 * too; nobody else can find it, and put code there.
 */
const aside = mkdtempSync(join(tmpdir(), 'portolan-compiled-'))
const compiled = join(aside, randomUUID())
mkdirSync(compiled)
chmodSync(aside, 0o711)
chmodSync(compiled, 0o1777)
process.on('exit', () => rmSync(aside, { recursive: true, force: true }))

function runFile(file: string): Promise<Outcome> {
  const started = Date.now()
  const report: string[] = []
  let passed = 0
  let failed = 0
  let skipped = 0
  const count = (result: Result, name: string) => {
    if (result.skip !== false) {
      skipped++
      report.push(`  skipped: ${name}: ${result.skip === true ? 'no reason given' : result.skip}`)
    } else if (result.ok) {
      passed++
    } else {
      failed++
      report.push(
        `  FAILED: ${name}`,
        ...JSON.stringify(result.diag ?? {}, null, 2)
          .split('\n')
          .map((line) => `    ${line}`),
      )
    }
  }
  const follow = (parser: Parser, above: string) => {
    // A subtest's own line repeats its assertions, so only leaves count; a leaf's parser has seen no child just before.
    let child: Parser | undefined
    parser.on('child', (inner) => {
      child = inner
      follow(inner, inner.name ? `${above} > ${inner.name}` : above)
    })
    parser.on('assert', (result) => {
      const summary = child !== undefined && child.name === result.name
      const empty = summary && (child?.count ?? 0) === 0
      child = undefined
      if (!summary || empty || (!result.ok && parser.level === 0 && failed === 0))
        count(result, `${above} > ${result.name}`)
    })
    // Hours are not spent in silence.
    if (long) parser.on('comment', (comment) => process.stdout.write(`${above}: ${comment}`))
    parser.on('bailout', (reason) => {
      failed++
      report.push(`  FAILED: ${above}: bail out: ${reason}`)
    })
  }
  return new Promise((resolve) => {
    const parser = new Parser({ name: file })
    follow(parser, file)
    const child = spawn(process.execPath, [file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { NODE_COMPILE_CACHE: compiled, ...process.env, TAP: '1', TAP_TIMEOUT: String(limit / 1000) },
    })
    const errors: Buffer[] = []
    child.stdout.pipe(parser)
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk))
    const timer = setTimeout(() => child.kill('SIGKILL'), limit)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if ((code !== 0 || passed + failed + skipped === 0) && failed === 0) {
        failed++
        report.push(`  FAILED: ${file} ended with ${signal ?? `status ${code}`} after ${passed} assertions`)
      }
      if (failed > 0)
        report.push(
          ...Buffer.concat(errors)
            .toString()
            .split('\n')
            .slice(-40)
            .map((line) => `  | ${line}`),
        )
      resolve({ file, passed, failed, skipped, seconds: (Date.now() - started) / 1000, report })
    })
  })
}

async function runAll(files: readonly string[], jobs: number): Promise<Outcome[]> {
  const queue = [...files]
  const outcomes: Outcome[] = []
  const one = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const outcome = await runFile(file)
      outcomes.push(outcome)
      const { passed, failed, seconds, report } = outcome
      console.log(
        [
          `${failed ? 'not ok' : 'ok'} ${file}: ${passed} passed, ${failed} failed, ${seconds.toFixed(1)} s`,
          ...report,
        ].join('\n'),
      )
    }
  }
  await Promise.all(Array.from({ length: jobs }, one))
  return outcomes
}

/**
 * Runs failed files once more by themselves, when they are few: real servers and clients on a busy machine fail now and
 * then for want of time. Whatever failed stays printed, and files that passed only then are named at the end.
 */
async function runAgain(first: readonly Outcome[]): Promise<readonly Outcome[]> {
  const failed = first.filter((outcome) => outcome.failed > 0).map(({ file }) => file)
  if (failed.length === 0 || failed.length > fewFailures) return first
  console.log(`Once more, by themselves: ${failed.join(', ')}`)
  const second = await runAll(failed, 1)
  for (const { file, failed } of second)
    if (failed === 0) console.log(`UNSTEADY: ${file} failed and then passed; see above`)
  return first.map((outcome) => second.find(({ file }) => file === outcome.file) ?? outcome)
}

const named = args.filter((arg) => !arg.startsWith('--'))
const found = named.length > 0 ? named : globSync(long ? 'test/**/*.long.ts' : 'test/**/*.test.ts').toSorted()
const alone = found.filter((file) => file.includes('.alone.') || long)
const others = found.filter((file) => !alone.includes(file))
const first = (await Promise.all([runAll(others, availableParallelism() + 1), runAll(alone, 1)])).flat()
const outcomes = named.length > 0 || long ? first : await runAgain(first)
const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0)
const failed = sum((outcome) => outcome.failed)
const skipped = sum((outcome) => outcome.skipped)
console.log(`${outcomes.length} files in ${sum(({ seconds }) => seconds).toFixed(0)} s of test time`)
console.log(`${sum((outcome) => outcome.passed)} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed > 0 || outcomes.length === 0 ? 1 : 0
