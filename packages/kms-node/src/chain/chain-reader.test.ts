import { inspect } from 'node:util'
import { bytesToHex } from '@noble/hashes/utils.js'
import { describe, expect, it } from 'vitest'
import { type ChainReader, createChainReader } from './chain-reader.ts'
import {
  type Behaviour,
  CHAIN_ID,
  deadEndpoint,
  fails,
  FALSE_WORD,
  hangs,
  returns,
  send,
  startEndpoint,
  TRUE_WORD,
} from './endpoints.fixture.ts'

const to = `0x${'ab'.repeat(20)}` as const
const data = Uint8Array.of(1, 2, 3, 4)
const yes = returns(TRUE_WORD)

async function readerOf(behaviours: readonly Behaviour[], timeoutMs = 2000): Promise<ChainReader> {
  const endpoints = await Promise.all(behaviours.map((behaviour) => startEndpoint(behaviour)))
  return createChainReader({ [CHAIN_ID]: { rpc: endpoints.map(({ url }) => url), timeoutMs } })
}
const call = async (reader: ChainReader, signal: AbortSignal = new AbortController().signal): Promise<string> =>
  `0x${bytesToHex(await reader.call({ chainId: CHAIN_ID, to, data, signal }))}`
const unavailable = (...problems: readonly string[]): object => ({
  code: 'chain-unavailable',
  retryable: true,
  data: { chainId: CHAIN_ID, problems },
})

describe('a chain read through several endpoints', () => {
  it('asks every endpoint the same call on the latest block', async () => {
    const endpoint = await startEndpoint(yes)
    const reader = await createChainReader({ [CHAIN_ID]: { rpc: [endpoint.url], timeoutMs: 2000 } })
    expect([await call(reader), await call(reader)]).toEqual([TRUE_WORD, TRUE_WORD])
    const ask = { method: 'eth_call', params: [{ to, data: '0x01020304' }, 'latest'] }
    expect(endpoint.calls).toMatchObject([{ method: 'eth_chainId', params: [] }, ask, ask])
  })

  const garbage: Behaviour = (_call, response) => send(response, '<html>maintenance</html>')
  const huge: Behaviour = (_call, response) => send(response, `{"result":"0x${'00'.repeat(9000)}"}`)
  const endless: Behaviour = (_call, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = (): void => {
      if (!response.destroyed) response.write('0'.repeat(4096), () => setImmediate(more))
    }
    more()
  }
  const moved: Behaviour = (_call, response) => {
    response.writeHead(302, { location: 'http://127.0.0.1:1/' })
    response.end()
  }
  it.each<[string, string, Behaviour]>([
    ['that says something else', 'disagrees', returns(FALSE_WORD)],
    ['that answers garbage', 'bad-reply', garbage],
    ['whose result is no hex', 'bad-reply', returns('yes')],
    ['without a result', 'bad-reply', returns(undefined)],
    ['whose reply is huge', 'reply-too-large', huge],
    ['whose reply never ends', 'reply-too-large', endless],
    ['whose result is above 4 KiB', 'reply-too-large', returns(`0x${'00'.repeat(4097)}`)],
    ['that fails by itself', 'rpc-error', fails(-32_005, 'limit exceeded')],
    ['that sends elsewhere', 'unreachable', moved],
  ])('does without one %s, and cannot do without two', async (_what, problem, behaviour) => {
    expect(await call(await readerOf([yes, behaviour, yes]))).toBe(TRUE_WORD)
    const others = await readerOf([yes, behaviour])
    await expect(call(others)).rejects.toMatchObject({ code: 'chain-unavailable' })
    const alone = await readerOf([behaviour])
    if (problem !== 'disagrees') await expect(call(alone)).rejects.toMatchObject(unavailable(`1:${problem}`))
  })

  it('fails closed when the endpoints disagree', async () => {
    const reader = await readerOf([yes, returns(FALSE_WORD)])
    await expect(call(reader)).rejects.toMatchObject(unavailable('2:disagrees'))
  })

  it('does not wait for an endpoint that hangs, and gives up in time when too many do', async () => {
    expect(await call(await readerOf([hangs, yes, yes], 60_000))).toBe(TRUE_WORD)
    const stuck = await readerOf([hangs, yes], 50)
    await expect(call(stuck)).rejects.toMatchObject(unavailable('1:timeout'))
  })

  it('ends when the caller leaves', async () => {
    const leaving = new AbortController()
    const pending = call(await readerOf([hangs], 60_000), leaving.signal)
    leaving.abort()
    await expect(pending).rejects.toMatchObject({ code: 'chain-unavailable' })
  })

  it('does without an endpoint that is away', async () => {
    const [good, other, dead] = [await startEndpoint(yes), await startEndpoint(yes), await deadEndpoint()]
    const three = await createChainReader({ [CHAIN_ID]: { rpc: [dead, good.url, other.url], timeoutMs: 2000 } })
    expect(await call(three)).toBe(TRUE_WORD)
    const two = await createChainReader({ [CHAIN_ID]: { rpc: [dead, good.url], timeoutMs: 2000 } })
    await expect(call(two)).rejects.toMatchObject(unavailable('1:unreachable'))
    const both = await createChainReader({
      [CHAIN_ID]: { rpc: [good.url, other.url], required: 2, timeoutMs: 2000 },
    })
    expect(await call(both)).toBe(TRUE_WORD)
  })

  it('refuses an endpoint of another chain, every time', async () => {
    const wrong = await startEndpoint(yes, 1)
    const reader = await createChainReader({ [CHAIN_ID]: { rpc: [wrong.url], timeoutMs: 2000 } })
    for (let n = 0; n < 2; n++) await expect(call(reader)).rejects.toMatchObject(unavailable('1:wrong-chain'))
    expect(wrong.calls.map(({ method }) => method)).toEqual(['eth_chainId', 'eth_chainId'])
  })

  it('tells a revert that the endpoints agree on from an outage', async () => {
    const reverted = fails(3, 'execution reverted: not for you')
    const inWords = fails(-32_000, 'execution reverted')
    await expect(call(await readerOf([reverted, inWords]))).rejects.toMatchObject({ code: 'chain-reverted' })
    await expect(call(await readerOf([reverted, yes]))).rejects.toMatchObject({ code: 'chain-unavailable' })
  })

  it('names no endpoint: its URL may hold a key', async () => {
    const dead = await deadEndpoint()
    const reader = await createChainReader({ [CHAIN_ID]: { rpc: [`${dead}/v3/secret`], timeoutMs: 2000 } })
    const error: unknown = await call(reader).catch((cause: unknown) => cause)
    expect(error).toMatchObject({ code: 'chain-unavailable' })
    expect(inspect(error, { depth: 8 })).not.toContain('secret')
  })

  it('knows the configured chains only', async () => {
    const reader = await createChainReader({})
    expect(reader.has(CHAIN_ID)).toBe(false)
    await expect(call(reader)).rejects.toMatchObject(unavailable('chain-not-configured'))
  })

  it('bounds the calls that wait', async () => {
    const reader = await readerOf([hangs], 60_000)
    const leaving = new AbortController()
    const pending = Array.from({ length: 32 + 512 }, () => call(reader, leaving.signal))
    await expect(call(reader)).rejects.toMatchObject(unavailable('busy'))
    leaving.abort()
    const codes = (await Promise.allSettled(pending)).map(({ status }) => status)
    expect(new Set(codes)).toEqual(new Set(['rejected']))
  })
})
