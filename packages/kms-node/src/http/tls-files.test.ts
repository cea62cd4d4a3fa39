import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Secret } from '@tkms/dkg'
import { expect, it, onTestFinished } from 'vitest'
import { createTlsIdentity, spkiSha256 } from '../identity/tls-certificate.ts'
import { createLog } from '../ops/log.ts'
import { systemClock } from '../system.ts'
import { openNodeTls, openTlsFiles, type TlsPair } from './tls-files.ts'
import { createTlsWatch } from './tls-watch.ts'

async function newPair(name: string, madeMs = Date.now()): Promise<TlsPair> {
  const { key, cert } = await createTlsIdentity(name, ['127.0.0.1'], madeMs)
  return { key: key.use((pem) => Buffer.from(pem).toString()), cert }
}

it('takes a renewed certificate and key, and refuses whole what does not belong together', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-tls-'))
  const files = { certFile: join(directory, 'tls.pem'), keyFile: join(directory, 'tls.key') }
  const log = createLog({ level: 'silent', node: 'alice' })
  const changes: TlsPair[] = []
  const watch = createTlsWatch({ pinned: () => undefined, clock: systemClock, log })
  const open = () => openTlsFiles({ files, log, watch, onChange: (pair) => changes.push(pair), pollMs: 3_600_000 })
  await expect(open()).rejects.toMatchObject({ code: 'bad-tls-files' })
  const [first, second] = [await newPair('first'), await newPair('second')]
  await writeFile(files.certFile, first.cert)
  await writeFile(files.keyFile, first.key)
  const live = await open()
  onTestFinished(() => {
    live.stop()
    return rm(directory, { recursive: true })
  })
  for (const [cert, key] of [
    [second.cert, first.key],
    ['no certificate', first.key],
    [first.cert, ''],
  ] as const) {
    await writeFile(files.certFile, cert)
    await writeFile(files.keyFile, key)
    await live.reload()
    expect([live.current(), changes]).toEqual([first, []])
  }
  await writeFile(files.certFile, second.cert)
  await writeFile(files.keyFile, second.key)
  await live.reload()
  expect([live.current(), changes]).toEqual([second, [second]])
})

it('serves what clients may refuse, and says so once of each: at start, at a reload, and in its state', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-tls-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const http = { tlsCertFile: join(directory, 'tls.pem'), tlsKeyFile: join(directory, 'tls.key') }
  const [right, other] = [await newPair('right'), await newPair('other')]
  const [past, future] = [await newPair('past', Date.UTC(2001, 0)), await newPair('future', Date.now() + 86_400_000)]
  const put = async ({ cert, key }: TlsPair): Promise<void> => {
    await writeFile(http.tlsCertFile, cert)
    await writeFile(http.tlsKeyFile, key)
  }
  const warnings: unknown[] = []
  const write = (line: string): void => {
    const { msg, problem } = JSON.parse(line) as Record<string, unknown>
    if (msg === 'tls-warning') warnings.push(problem)
  }
  const log = createLog({ level: 'info', node: 'alice', destination: { write } })
  let pinned = spkiSha256(past.cert)
  const watch = createTlsWatch({ pinned: () => pinned, clock: systemClock, log })
  await put(past)
  const own = { key: new Secret(Buffer.from(right.key)), cert: right.cert }
  const server = { host: '127.0.0.1', port: 0, tls: true, corsOrigins: [] }
  const live = await openNodeTls({ http: { ...server, ...http }, own, log, watch, onChange: () => undefined })
  onTestFinished(() => live?.stop())
  expect(warnings.splice(0)).toEqual(['expired'])
  await live?.reload()
  expect([warnings, live?.state().problems]).toEqual([[], ['expired']])
  await put(future)
  await live?.reload()
  expect(warnings.splice(0)).toEqual(['not-yet-valid', 'key-not-pinned'])
  expect(live?.current()).toEqual(future)
  pinned = spkiSha256(right.cert)
  await put(right)
  await live?.reload()
  expect([warnings, live?.state()]).toMatchObject([
    [],
    { problems: [], spkiSha256: `0x${Buffer.from(pinned).toString('hex')}`, notAfter: expect.any(Number) },
  ])
  await put(other)
  await live?.reload()
  expect(warnings.splice(0)).toEqual(['key-not-pinned'])
})

it('looks at its own certificate too', async () => {
  const { cert, key } = await newPair('own', Date.UTC(2001, 0))
  const lines: string[] = []
  const log = createLog({ level: 'info', node: 'alice', destination: { write: (line) => void lines.push(line) } })
  const watch = createTlsWatch({ pinned: () => new Uint8Array(32), clock: systemClock, log })
  const http = { host: '127.0.0.1', port: 0, tls: true, corsOrigins: [] }
  const own = { key: new Secret(Buffer.from(key)), cert }
  const live = await openNodeTls({ http, own, log, watch, onChange: () => undefined })
  expect(lines.map((line) => (JSON.parse(line) as { problem: string }).problem)).toEqual(['expired', 'key-not-pinned'])
  expect(live?.state().problems).toEqual(['expired', 'key-not-pinned'])
})
