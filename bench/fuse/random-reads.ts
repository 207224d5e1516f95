/** Reads 4 KiB here and there from a file for some seconds, one after the other; prints how many in a second. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { Dice } from '../../test/dice.ts'

const [file = '', seconds = '5', seed = '1'] = process.argv.slice(2)
const size = 4096
const fd = openSync(file, 'r')
const blocks = Math.floor(Math.min(fstatSync(fd).size, 2 ** 30) / size)
const dice = new Dice(Number(seed) * 7919)
const buffer = Buffer.alloc(size)
const began = performance.now()
let count = 0
while (performance.now() - began < Number(seconds) * 1000) {
  if (readSync(fd, buffer, 0, size, dice.below(blocks) * size) !== size) throw new Error('a short read')
  count++
}
console.log(count / ((performance.now() - began) / 1000))
closeSync(fd)
