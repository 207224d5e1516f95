/** Half a million requests that no S3 client would send, in memory; ROUNDS and SEED in the environment make it another run. */

process.env.ROUNDS ??= '500000'
process.env.SEED ??= String(Date.now() % 1_000_000)
process.env.STORAGE = 'memory'
console.log(`# SEED=${process.env.SEED}`)
await import('../s3-door/fuzz.alone.test.ts')
