/** A million requests that no client would send; ROUNDS and SEED in the environment make it another run. */

process.env.ROUNDS ??= '1000000'
process.env.SEED ??= String(Date.now() % 1_000_000)
console.log(`# SEED=${process.env.SEED}`)
await import('../webdav/fuzz.alone.test.ts')
