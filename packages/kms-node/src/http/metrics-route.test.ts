import { expect, it } from 'vitest'
import { createTestPipeline } from '../serve/pipeline.fixture.ts'
import { serverOptions } from './server.fixture.ts'
import { createHttpServer } from './server.ts'

it('serves the metrics as Prometheus reads them, and tells of every reply its operation and status', async () => {
  const replies: unknown[] = []
  const { pipeline, dryRun } = createTestPipeline()
  const limits = { requestsPerSecond: 1, requestBurst: 2, maxHttpConnections: 64, httpRequestTimeoutMs: 400 }
  const server = createHttpServer(
    serverOptions({ pipeline, dryRun, limits, onReply: (...reply) => void replies.push(reply) }),
  )
  await server.start()
  const response = await fetch(`${server.url}/metrics`)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(await response.text()).toBe('tkms_up 1\n')
  for (const path of ['/v1/cluster', '/nowhere/to/be/found', '/v1/status']) await fetch(`${server.url}${path}`)
  expect(replies).toEqual([
    ['metrics', 200],
    ['cluster', 200],
    ['none', 404],
    ['status', 429],
  ])
  await server.stop()
})
