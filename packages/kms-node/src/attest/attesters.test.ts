import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesToHex } from '@noble/hashes/utils.js'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { AttestationConfig } from '../config/types.ts'
import { startTestAgent } from '../dstack/guest-agent.fixture.ts'
import { createDstackAttester } from './dstack-attester.ts'
import { MINTED_MR_TD, mintChain } from './minted-chain.fixture.ts'
import { openAttester } from './open-attester.ts'
import { parseQuote } from './quote.ts'
import { createReportFiles, type ReportFiles } from './report-files.ts'
import { createTdxAttester } from './tdx-attester.ts'

const wanted = new Uint8Array(64).fill(7)
const { signal } = new AbortController()

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-attest-'))
})
afterEach(() => rm(directory, { recursive: true }))

interface Kernel extends ReportFiles {
  /** Of all quotes that were ever read. */
  readonly reads: number
}

/** The kernel's side of configfs-tsm. @param options.before runs ahead of each read of a quote */
function createKernel(
  options: {
    readonly provider?: string
    readonly before?: (write: () => void, read: number) => Promise<void> | void
    readonly refuse?: (attribute: string) => Error | undefined
  } = {},
): Kernel {
  // Others wrote before: the directory stays.
  const report: { generation: number; input: Uint8Array } = { generation: 41, input: new Uint8Array() }
  let reads = 0
  const readOut = async (): Promise<Uint8Array> => {
    reads++
    await options.before?.(() => (report.generation += 1), reads)
    return Buffer.concat([Buffer.from('quote of '), report.input])
  }
  return {
    get reads() {
      return reads
    },
    read: async (attribute) => {
      if (attribute === 'outblob') return readOut()
      const text = attribute === 'provider' ? (options.provider ?? 'tdx_guest') : `${report.generation}`
      return Buffer.from(`${text}\n`)
    },
    write: async (attribute, bytes) => {
      const refusal = options.refuse?.(attribute)
      if (refusal !== undefined) throw refusal
      report.generation += 1
      report.input = bytes
    },
  }
}

const busy = (): Error => Object.assign(new Error('try again'), { code: 'EWOULDBLOCK' })
const unavailable = (message: RegExp): object => ({
  code: 'attestation-unavailable',
  message: expect.stringMatching(message) as unknown,
})

describe('the kernel as attester', () => {
  it('gives a quote of what was asked for, one after the other', async () => {
    const kernel = createKernel()
    const attester = createTdxAttester({ files: kernel })
    for (const data of [wanted, new Uint8Array(64).fill(8)])
      expect(Buffer.from((await attester.quote(data, signal)) ?? []).subarray(9)).toEqual(Buffer.from(data))
  })

  it('that is closed to this user says who opens it', async () => {
    const refuse = (): Error => Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' })
    const attester = createTdxAttester({ files: createKernel({ refuse }) })
    await expect(attester.quote(wanted, signal)).rejects.toMatchObject(unavailable(/as root run prepare-report\.sh/))
  })

  it('is asked again where another write came in between, or it was busy', async () => {
    const raced = createKernel({ before: (write, read) => void (read === 1 && write()) })
    expect(await createTdxAttester({ files: raced }).quote(wanted, signal)).toHaveLength(73)
    expect(raced.reads).toBe(2)
    const busyOnce = createKernel({ before: (_write, read) => (read === 1 ? Promise.reject(busy()) : undefined) })
    expect(await createTdxAttester({ files: busyOnce }).quote(wanted, signal)).toHaveLength(73)
  })

  it('is given up on where others write without end, on another platform, and when it fails', async () => {
    const kernels: readonly (readonly [Kernel, RegExp])[] = [
      [createKernel({ before: (write) => write() }), /kept writing/],
      [createKernel({ provider: 'sev_guest' }), /provider is "sev_guest"/],
      [createKernel({ before: () => Promise.reject(new Error('ENXIO')) }), /ENXIO/],
    ]
    for (const [kernel, message] of kernels)
      await expect(createTdxAttester({ files: kernel }).quote(wanted, signal)).rejects.toMatchObject(
        unavailable(message),
      )
  })

  it('is not waited for without end, nor when nobody wants the quote any more', async () => {
    const silent = createKernel({ before: () => new Promise(() => undefined) })
    const late = createTdxAttester({ files: silent, timeoutMs: 20 })
    await expect(late.quote(wanted, signal)).rejects.toMatchObject(unavailable(/too long/))
    const patient = createTdxAttester({ files: createKernel() })
    await expect(patient.quote(wanted, AbortSignal.abort())).rejects.toMatchObject(unavailable(/no TDX quote/))
  })

  it('is asked for one quote at a time', async () => {
    let under = 0
    const seen: number[] = []
    const kernel = createKernel({
      before: async () => {
        seen.push(++under)
        await Promise.resolve()
        under--
      },
    })
    const attester = createTdxAttester({ files: kernel })
    await Promise.all([1, 2, 3].map(() => attester.quote(wanted, signal)))
    expect(seen).toEqual([1, 1, 1])
  })

  it('is at one quote at a time also where its callers leave meanwhile', async () => {
    let finish = (): void => undefined
    const before = (): Promise<void> => new Promise((resolve) => (finish = resolve))
    const kernel = createKernel({ before })
    const attester = createTdxAttester({ files: kernel })
    for (let n = 0; n < 10; n++) {
      const leaving = new AbortController()
      const quote = attester.quote(wanted, leaving.signal)
      setImmediate(() => leaving.abort())
      await expect(quote).rejects.toMatchObject(unavailable(/nobody waits/))
    }
    expect(kernel.reads).toBe(1)
    finish()
    const last = attester.quote(wanted, signal)
    await vi.waitFor(() => expect(kernel.reads).toBe(2))
    finish()
    expect(await last).toBeDefined()
  })

  it('has files that are read within bounds, and written but never made', async () => {
    const files = createReportFiles(directory)
    await expect(files.write('inblob', wanted)).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(files.read('outblob', 10)).rejects.toThrow(/there is no/)
    await writeFile(join(directory, 'inblob'), '')
    await files.write('inblob', wanted)
    expect(Buffer.from(await files.read('inblob', 64))).toEqual(Buffer.from(wanted))
    await expect(files.read('inblob', 63)).rejects.toThrow(RangeError)
    expect(await readdir(directory)).toEqual(['inblob'])
  })
})

describe("dstack's guest agent as attester", () => {
  const ask = async (text: string, status = 200): Promise<Uint8Array | undefined> => {
    const socket = join(directory, 'dstack.sock')
    const agent = await startTestAgent(socket, 'app', () => ({ status, text }))
    onTestFinished(() => agent.close())
    const quote = await createDstackAttester({ socket }).quote(wanted, signal)
    expect(agent.requests).toEqual([{ method: 'POST', url: '/GetQuote', body: { report_data: '07'.repeat(64) } }])
    return quote
  }

  it('is asked with the report data as it is', async () => {
    expect(Buffer.from((await ask(JSON.stringify({ quote: '0x0102ff', event_log: '[]' }))) ?? [])).toEqual(
      Buffer.of(1, 2, 255),
    )
  })

  it.each([
    ['an error', '{"error":"no"}', 500],
    ['no quote', '{}', 200],
    ['no hex', '{"quote":"0x1"}', 200],
    ['no JSON', 'quote', 200],
    ['more than a quote has', `{"quote":"${'00'.repeat(20_000)}"}`, 200],
  ])('is not believed with %s', async (_what, text, status) => {
    await expect(ask(text, status)).rejects.toMatchObject({ code: 'attestation-unavailable' })
  })

  it('is not waited for where nobody listens, or the caller is gone', async () => {
    const nobody = createDstackAttester({ socket: join(directory, 'none.sock') })
    await expect(nobody.quote(wanted, signal)).rejects.toMatchObject(unavailable(/does not answer/))
    const socket = join(directory, 'silent.sock')
    const agent = await startTestAgent(socket, 'app', () => undefined)
    onTestFinished(() => agent.close())
    const silent = createDstackAttester({ socket })
    await expect(silent.quote(wanted, AbortSignal.timeout(20))).rejects.toMatchObject({
      code: 'attestation-unavailable',
    })
  })
})

describe('the provider that node.yaml names', () => {
  const config: AttestationConfig = {
    provider: 'none',
    allow: [],
    tcbStatuses: ['UpToDate'],
    collateral: { directory: '', refreshHours: 24 },
    requirePeers: false,
    keepFloor: true,
    warnDays: 14,
  }

  it('none gives no quote', async () => {
    const attester = await openAttester(config)
    expect(attester.provider).toBe('none')
    expect(await attester.quote(wanted, signal)).toBeUndefined()
  })

  it('simulated signs as the machine of its file', async () => {
    const simulatedFile = join(directory, 'machine.json')
    await writeFile(simulatedFile, JSON.stringify(mintChain().simulatedFile()))
    const attester = await openAttester({ ...config, provider: 'simulated', simulatedFile })
    const quote = parseQuote((await attester.quote(wanted, signal)) ?? new Uint8Array())
    expect(quote).toMatchObject({ measurement: { tee: 'tdx', mrTd: bytesToHex(MINTED_MR_TD) } })
    expect(quote?.reportData).toEqual(wanted)
  })

  it.each(['', '{}', JSON.stringify({ ...mintChain().simulatedFile(), pckKey: 'none' })])(
    'simulated refuses %s as its file',
    async (text) => {
      const simulatedFile = join(directory, 'machine.json')
      await writeFile(simulatedFile, text)
      await expect(openAttester({ ...config, provider: 'simulated', simulatedFile })).rejects.toMatchObject({
        code: 'bad-attestation-file',
      })
    },
  )

  it('tdx and dstack are the real ones, whatever this machine is', async () => {
    const tdx = await openAttester({ ...config, provider: 'tdx', reportDirectory: directory })
    const dstack = await openAttester({ ...config, provider: 'dstack', dstackSocket: join(directory, 'none') })
    expect([tdx.provider, dstack.provider]).toEqual(['tdx', 'dstack'])
    await expect(dstack.quote(wanted, signal)).rejects.toMatchObject({ code: 'attestation-unavailable' })
    await expect(tdx.quote(wanted, signal)).rejects.toMatchObject(unavailable(/there is no .*provider/))
    await writeFile(join(directory, 'provider'), 'sev_guest\n')
    await expect(tdx.quote(wanted, signal)).rejects.toMatchObject(unavailable(/is "sev_guest"/))
  })
})
