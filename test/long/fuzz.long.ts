/** The decoders of ACLs on a hundred times as many hostile inputs, and the evaluator's model on more lists. */

process.env.ROUNDS = '200000'
process.env.SEED = String(Date.now() % 1_000_000)
console.log(`# SEED=${process.env.SEED}`)
await import('../acl/codec-fuzz.test.ts')
