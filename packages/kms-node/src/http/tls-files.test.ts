import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { createTlsIdentity } from '../identity/tls-certificate.ts'
import { createLog } from '../ops/log.ts'
import { openTlsFiles, type TlsPair } from './tls-files.ts'

async function newPair(name: string): Promise<TlsPair> {
  const { key, cert } = await createTlsIdentity(name, ['127.0.0.1'], Date.now())
  return { key: key.use((pem) => Buffer.from(pem).toString()), cert }
}

it('takes a renewed certificate and key, and refuses whole what does not belong together', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tkms-tls-'))
  const files = { certFile: join(directory, 'tls.pem'), keyFile: join(directory, 'tls.key') }
  const log = createLog({ level: 'silent', node: 'alice' })
  const changes: TlsPair[] = []
  const open = () => openTlsFiles({ files, log, onChange: (pair) => changes.push(pair), pollMs: 3_600_000 })
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
