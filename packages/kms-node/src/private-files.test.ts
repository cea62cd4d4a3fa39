import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest'
import { parseNodeConfig } from './config/node-config.ts'
import type { NodeConfig } from './config/types.ts'
import { startTestAgent } from './dstack/guest-agent.fixture.ts'
import { initialiseNode } from './initialise.ts'
import { startNode } from './node.ts'
import { createLog } from './ops/log.ts'
import { requirePrivateFiles } from './private-files.ts'
import { openSealer } from './seal/open-sealer.ts'

const FILES = ['node.yaml', 'audit.db', 'audit.db-wal', 'tls.key', 'sealer.key', 'policy.yaml', 'cluster.json']

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-private-'))
  for (const name of FILES) await writeFile(join(directory, name), '', { mode: 0o600 })
})
afterEach(() => rm(directory, { recursive: true }))

const config = (profile: 'production' | 'development', provider = 'dstack'): NodeConfig => {
  const http = { tlsKeyFile: 'tls.key', tlsCertFile: 'tls.crt' }
  return parseNodeConfig({ name: 'a', profile, http, sealer: { provider } }, { directory, env: {} })
}
const check = async (checked: NodeConfig): Promise<readonly string[]> => {
  const warnings: string[] = []
  await requirePrivateFiles(checked, (warning) => void warnings.push(warning))
  return warnings
}

it.each([
  ['', 0o701],
  ['', 0o705],
  ['node.yaml', 0o604],
  ['audit.db', 0o644],
  ['audit.db-wal', 0o602],
  ['tls.key', 0o644],
  ['policy.yaml', 0o602],
  ['cluster.json', 0o666],
])('%s of mode %o: production does not start, development warns', async (name, mode) => {
  const path = join(directory, name)
  await chmod(path, mode)
  await expect(check(config('production'))).rejects.toMatchObject({
    code: 'unsafe-permissions',
    data: { files: [path.replace(/\/$/, '')] },
  })
  expect(await check(config('development'))).toEqual([expect.stringContaining('chmod o-rwx')])
  await chmod(path, mode & 0o770)
  expect(await check(config('production'))).toEqual([])
})

it('lets a group in, and everybody read what is public', async () => {
  await chmod(directory, 0o770)
  for (const name of FILES) await chmod(join(directory, name), 0o660)
  for (const name of ['policy.yaml', 'cluster.json']) await chmod(join(directory, name), 0o664)
  expect(await check(config('production'))).toEqual([])
})

it('names every file at once, the key of a development sealer too', async () => {
  await chmod(join(directory, 'audit.db'), 0o644)
  await chmod(join(directory, 'sealer.key'), 0o644)
  const [warning = ''] = await check(config('development', 'kms-file'))
  expect(warning).toContain(join(directory, 'audit.db'))
  expect(warning).toContain(join(directory, 'sealer.key'))
})

it('is asked for by a node that starts, before it opens anything to the network', async () => {
  const socket = join(directory, 'dstack.sock')
  const agent = await startTestAgent(socket, 'this application')
  onTestFinished(() => agent.close())
  const { config: made } = await initialiseNode({
    directory: join(directory, 'alice'),
    name: 'alice',
    profile: 'production',
    listen: ['/ip4/127.0.0.1/tcp/7001'],
    announce: [],
    httpHost: '127.0.0.1',
    httpPort: 7443,
    tls: true,
    sealer: 'dstack',
    env: { TKMS_SEALER_SOCKET: socket },
  })
  const log = createLog({ level: 'silent', node: 'alice' })
  const start = async (): Promise<unknown> =>
    startNode({ config: made, sealer: await openSealer({ config: made, env: {} }), log })
  await chmod(made.dataDir, 0o755)
  await expect(start()).rejects.toMatchObject({ code: 'unsafe-permissions', data: { files: [made.dataDir] } })
  await chmod(made.dataDir, 0o700)
  await expect(start()).rejects.toMatchObject({ code: 'cluster-not-joined' })
})
