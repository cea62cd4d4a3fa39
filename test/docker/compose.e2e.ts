import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '@tkms/examples/free-ports'
import {
  ComposeCluster,
  composeProgram,
  environment,
  expectEqual,
  NODES,
  root,
  run,
  STEP_TIMEOUT_MS,
  type Step,
  succeed,
} from './compose-cluster.ts'
import { OVERLAY_STEPS } from './overlay-steps.ts'

/** Builds the image, runs the compose cluster and uses it from the host as an operator and a client would. */

const QUORUM_EXIT_CODE = 3

const STEPS: readonly Step[] = [
  [
    'docker/keygen builds the image, starts five nodes and makes a key',
    async (cluster) => {
      const file = await succeed(join(root, 'docker/keygen'), ['ecies/e2e'], STEP_TIMEOUT_MS)
      const { nodes, certificates } = JSON.parse(file) as { nodes: unknown[]; certificates: unknown[] }
      expectEqual([nodes.length, certificates.length], [5, 1], 'nodes and certificates in the cluster file')
      await writeFile(cluster.file('cluster.json'), file)
    },
  ],
  ['every container is healthy', (cluster) => cluster.expectHealthy(NODES)],
  [
    'a node runs as an ordinary user, without capabilities, on a read-only root',
    async (cluster) => {
      for (const node of NODES) {
        const inspected = await succeed('docker', ['inspect', await cluster.containerOf(node)])
        const [container] = JSON.parse(inspected) as {
          HostConfig: { ReadonlyRootfs: boolean; CapDrop: string[]; SecurityOpt: string[] }
          NetworkSettings: { Ports: Record<string, { HostIp: string }[] | null> }
        }[]
        expectEqual(container?.HostConfig.ReadonlyRootfs, true, 'read-only root')
        expectEqual(container?.HostConfig.CapDrop, ['ALL'], 'dropped capabilities')
        expectEqual(container?.HostConfig.SecurityOpt, ['no-new-privileges:true'], 'security options')
        const published = Object.values(container?.NetworkSettings.Ports ?? {}).flatMap((bindings) => bindings ?? [])
        expectEqual([...new Set(published.map(({ HostIp }) => HostIp))], ['127.0.0.1'], 'published on loopback only')
        expectEqual((await cluster.inside(node, 'id', '-u')).trim(), '1000', 'user id')
      }
    },
  ],
  [
    'the image carries no development tools',
    async (cluster) => {
      const found = await cluster.inside(
        'node-1',
        'sh',
        '-c',
        'ls /app/node_modules/.pnpm | grep -cE "^(typescript|vitest|node)@" || true',
      )
      expectEqual(found.trim(), '0', 'development packages')
    },
  ],
  [
    'a file is encrypted offline on the host and opened through the published ports',
    async (cluster) => {
      const keygen = await cluster.tkms('keygen', '--out', cluster.file('signer.pem'))
      expectEqual(keygen.code, 0, 'tkms keygen')
      await writeFile(cluster.file('secret.txt'), randomBytes(4096))
      const options = ['--cluster', cluster.file('cluster.json'), '--owner', keygen.stdout.trim()]
      const sealed = await cluster.tkms(
        'encrypt',
        ...options,
        cluster.file('secret.txt'),
        '--out',
        cluster.file('secret.tkms'),
      )
      expectEqual([sealed.code, sealed.stdout], [0, ''], 'tkms encrypt')
      await cluster.expectOpens()
    },
  ],
  [
    'it opens with two nodes stopped',
    async (cluster) => {
      await cluster.compose('stop', 'node-1', 'node-4')
      await cluster.expectOpens()
    },
  ],
  [
    'with a third one stopped the client says that too few answer',
    async (cluster) => {
      await cluster.compose('stop', 'node-2')
      expectEqual((await cluster.decrypt()).code, QUORUM_EXIT_CODE, 'exit code')
    },
  ],
  [
    'all five come back from their volumes in new containers',
    async (cluster) => {
      await cluster.compose('down')
      await cluster.compose('up', '-d')
      await cluster.expectHealthy(NODES)
      await cluster.expectOpens()
    },
  ],
  ...OVERLAY_STEPS,
  [
    'no passphrase stands in a log or in the configuration of a container',
    async (cluster) => {
      const logs = await cluster.compose('logs', '--no-color')
      for (const node of NODES) {
        const passphrase = (await cluster.inside(node, 'cat', '/passphrase/passphrase')).trim()
        expectEqual(passphrase.length >= 32, true, 'a passphrase is there')
        const container = await succeed('docker', ['inspect', await cluster.containerOf(node)])
        expectEqual(
          [logs.includes(passphrase), container.includes(passphrase)],
          [false, false],
          `passphrase of ${node}`,
        )
      }
    },
  ],
]

async function main(): Promise<void> {
  const required = process.env['TKMS_REQUIRE_ALL'] === '1'
  const program = (await run('docker', ['info'])).code === 0 ? await composeProgram() : undefined
  if (program === undefined) {
    console.log('docker: there is no Docker engine with compose here: nothing was tested')
    console.log(required ? '0 passed, 1 failed' : `0 passed, 0 failed, ${STEPS.length} skipped`)
    process.exitCode = required ? 1 : 0
    return
  }
  const ports = await freePorts(NODES.length)
  const name = `tkms-e2e-${process.pid}`
  const image = `tkms/kms-node:${name}`
  const published = Object.fromEntries(ports.map((port, at) => [`NODE_${at + 1}_PORT`, `${port}`]))
  Object.assign(environment, { ...published, COMPOSE_PROJECT_NAME: name, TKMS_IMAGE: image })
  const cluster = new ComposeCluster(program, await mkdtemp(join(tmpdir(), 'tkms-docker-')))
  let passed = 0
  let failed = 0
  try {
    for (const [title, check] of STEPS) {
      const startMs = Date.now()
      await check(cluster)
      passed += 1
      console.log(`ok      ${title} (${((Date.now() - startMs) / 1000).toFixed(1)} s)`)
    }
  } catch (error) {
    failed = 1
    console.log(`FAILED  ${STEPS[passed]?.[0]}\n${error instanceof Error ? error.message : String(error)}`)
    console.log((await run('docker', ['ps', '-a', '--filter', `name=${name}`])).stdout)
  } finally {
    await cluster.compose('down', '--volumes', '--timeout', '5').catch((error: unknown) => console.log(String(error)))
    await run('docker', ['image', 'rm', image])
    await rm(cluster.directory, { recursive: true, force: true })
  }
  const skipped = STEPS.length - passed - failed
  console.log(`${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`)
  process.exitCode = failed === 0 ? 0 : 1
}

await main()
