import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { formatAuthorization } from '@tkms/dkg'
import { expect, it, onTestFinished } from 'vitest'
import { alice, authorize, createTestPipeline, itemFor, requestOf } from '../serve/pipeline.fixture.ts'
import { createBodyReader } from './read-body.ts'
import { serverOptions } from './server.fixture.ts'
import { createHttpServer } from './server.ts'

const MIB = 1024 * 1024

it('reads so many bytes of bodies at once, and of one caller a part of them', async () => {
  const read = createBodyReader({ maxBytes: 2 * MIB, callerShare: 1 / 4 })
  const begin = (caller: string, bytes: number): { end: () => void; body: Promise<Uint8Array | string> } => {
    const stream = Object.assign(new PassThrough({ highWaterMark: 4 * MIB }), { headers: {} })
    stream.write(new Uint8Array(bytes))
    return { end: () => stream.end(), body: read(stream as unknown as IncomingMessage, caller) }
  }
  const lengthOf = async (caller: string): Promise<number | string> => {
    const { end, body } = begin(caller, MIB)
    end()
    const bytes = await body
    return typeof bytes === 'string' ? bytes : bytes.length
  }
  const held = Array.from({ length: 8 }, () => begin('a', 2 * MIB))
  expect([await lengthOf('a'), await lengthOf('b')]).toEqual(['busy', MIB])
  const others = ['b', 'c', 'd'].flatMap((caller) => Array.from({ length: 8 }, () => begin(caller, 2 * MIB)))
  expect(await lengthOf('e')).toBe('busy')
  for (const { end } of [...held, ...others]) end()
  await Promise.all([...held, ...others].map(({ body }) => body))
  expect([await lengthOf('a'), await lengthOf('e')]).toEqual([MIB, MIB])
})

it('counts a long request as several', async () => {
  const { pipeline, dryRun } = createTestPipeline()
  const limits = { requestsPerSecond: 1, requestBurst: 5, maxHttpConnections: 64, httpRequestTimeoutMs: 400 }
  const server = createHttpServer(serverOptions({ pipeline, dryRun, limits }))
  await server.start()
  onTestFinished(() => server.stop())
  const item = itemFor(alice)
  const send = async (count: number): Promise<string> => {
    const items = Array.from({ length: count }, () => item)
    const body = JSON.stringify(formatAuthorization(authorize(requestOf({ items }))))
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${server.url}/v1/delegate`, { method: 'POST', headers, body })
    await response.arrayBuffer()
    return `${response.status} ${response.headers.get('retry-after')}`
  }
  // About 17 KiB: three of the five there are, and then one more than the two that are left.
  expect([await send(48), await send(48), await send(1)]).toEqual(['200 null', '429 1', '200 null'])
})
