import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { nobleCurve, Secret } from '@tkms/dkg'
import { encodeAbiParameters } from 'viem/utils'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { fakeChain, word } from '../chain/fake-chain.fixture.ts'
import { isKmsError } from '../errors.ts'
import { createLog } from '../ops/log.ts'
import { readKmsPublicKey, watchGateway, watchKmsPublicKey } from './nox-contract.ts'

const contract = { chainId: 421_614, address: `0x${'c0'.repeat(20)}` } as const
const KEY = 'ac6c544f'
const GATEWAY = '116191b6'
const log = createLog({ level: 'silent', node: 'test' })
const abiBytes = (bytes: Uint8Array): Uint8Array =>
  hexToBytes(encodeAbiParameters([{ type: 'bytes' }], [`0x${bytesToHex(bytes)}`]).slice(2))
const read = (answer: Uint8Array | string): Promise<Uint8Array> =>
  readKmsPublicKey(fakeChain(contract.chainId, { [KEY]: answer }), nobleCurve, contract)

describe('kmsPublicKey()', () => {
  it('is a point', async () => {
    expect(await read(abiBytes(nobleCurve.generator))).toEqual(nobleCurve.generator)
  })

  it('is nothing else', async () => {
    const { generator } = nobleCurve
    for (const answer of [
      new Uint8Array(0),
      new Uint8Array(32),
      generator,
      abiBytes(new Uint8Array(33)),
      abiBytes(generator.slice(1)),
      abiBytes(Uint8Array.of(...generator, 0)),
      abiBytes(generator).slice(0, 70),
    ])
      await expect(read(answer)).rejects.toMatchObject({ code: 'no-kms-public-key' })
    await expect(read('chain-unavailable')).rejects.toMatchObject({ code: 'chain-unavailable' })
  })
})

describe('a change of kmsPublicKey()', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('stops what the key was read for, until the contract has that key again', async () => {
    const other = nobleCurve.mulSecret(nobleCurve.generator, new Secret(new Uint8Array(32).fill(3)))
    const answers: Record<string, Uint8Array | string> = { [KEY]: abiBytes(nobleCurve.generator) }
    const watch = await watchKmsPublicKey(fakeChain(contract.chainId, answers), nobleCurve, contract, { log })
    expect(watch.key).toEqual(nobleCurve.generator)
    const after = async (answer: Uint8Array | string): Promise<string> => {
      answers[KEY] = answer
      await vi.advanceTimersByTimeAsync(60_000)
      try {
        watch.require()
        return 'serves'
      } catch (cause) {
        return isKmsError(cause) ? cause.code : String(cause)
      }
    }
    expect(await after(abiBytes(nobleCurve.generator))).toBe('serves')
    expect(await after('chain-unavailable')).toBe('serves')
    expect(await after(abiBytes(other))).toBe('key-mismatch')
    expect(await after('chain-unavailable')).toBe('key-mismatch')
    expect(await after(abiBytes(nobleCurve.generator))).toBe('serves')
    expect(await after(abiBytes(new Uint8Array(0)))).toBe('key-mismatch')
    watch.stop()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('gateway()', () => {
  const first = new Uint8Array(20).fill(1)
  const second = new Uint8Array(20).fill(2)
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('must be there at the start', async () => {
    const none = fakeChain(contract.chainId, { [GATEWAY]: word(0) })
    await expect(watchGateway(none, contract, log)).rejects.toMatchObject({ code: 'no-gateway' })
    const away = fakeChain(contract.chainId, { [GATEWAY]: 'chain-unavailable' })
    await expect(watchGateway(away, contract, log)).rejects.toMatchObject({ code: 'chain-unavailable' })
  })

  it('is followed when it changes, and kept while the chain is away', async () => {
    const answers: Record<string, Uint8Array | string> = { [GATEWAY]: word(first) }
    const watch = await watchGateway(fakeChain(contract.chainId, answers), contract, log)
    expect(watch.current()).toEqual(first)
    answers[GATEWAY] = 'chain-unavailable'
    await vi.advanceTimersByTimeAsync(60_000)
    expect(watch.current()).toEqual(first)
    answers[GATEWAY] = word(second)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(watch.current()).toEqual(second)
    watch.stop()
    expect(vi.getTimerCount()).toBe(0)
  })
})
