/** The model of random operations, thirty seeds of 1,500 steps. */

process.env.STEPS = '1500'
process.env.SEEDS = '30'
await import('../backends/model.test.ts')
