import t from 'tap'
import { Generation } from '../../gateway/core/generation.ts'

t.test('a generation is over when it is closed and everybody has left', async (t) => {
  const generation = new Generation()
  let isOver = false
  generation.enter()
  generation.enter()
  generation.leave()
  const over = generation.close().then(() => {
    isOver = true
  })
  await Promise.resolve()
  t.notOk(isOver)
  generation.leave()
  await over
  t.ok(isOver)
})

t.test('a generation that nobody entered is over at once', async () => {
  await new Generation().close()
})
