import { once } from 'node:events'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { derivedKey, startTestAgent } from '../../packages/kms-node/src/dstack/guest-agent.fixture.ts'
import {
  COMMAND_TIMEOUT_MS,
  type ComposeCluster,
  environment,
  expectEqual,
  root,
  type Step,
  succeed,
} from './compose-cluster.ts'

/** The overlays for Intel TDX guests, as far as they go without such a machine. */

/** One node in a new container, with an overlay for guests of Intel TDX. */
async function overlaid(cluster: ComposeCluster, overlay: string, settings: NodeJS.ProcessEnv): Promise<void> {
  Object.assign(environment, settings)
  await cluster.compose('-f', join(root, `docker/${overlay}`), 'up', '-d', 'node-1')
  await cluster.expectHealthy(['node-1'])
}

/** What the first node answers to the question for its quote. */
async function askForQuote(
  nonce: string,
): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const options = { rejectUnauthorized: false, timeout: COMMAND_TIMEOUT_MS }
  const call = get(`https://127.0.0.1:${environment['NODE_1_PORT']}/v1/attestation?nonce=${nonce}`, options)
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  const body: unknown = await json(response)
  return { status: response.statusCode ?? 0, body: body as Record<string, unknown> }
}

/** A new node with what the overlay for dstack sets: it has no passphrase. */
async function makeSealedByAgent(socket: string): Promise<void> {
  const name = `${environment['COMPOSE_PROJECT_NAME']}-sealed`
  const settings = { NODE_NAME: 'node-9', NODE_PUBLIC_URL: 'https://127.0.0.1:1', NODE_SEALER: 'dstack' }
  const variables = Object.entries({ ...settings, CLUSTER_NODES: '5', CLUSTER_THRESHOLD: '3' })
  const options = variables.flatMap(([key, value]) => ['-e', `${key}=${value}`])
  const mount = ['--mount', `type=bind,source=${socket},target=/var/run/dstack.sock`]
  const image = environment['TKMS_IMAGE'] ?? ''
  const started = ['run', '-d', '--name', name, ...options, ...mount, '--entrypoint', 'node', image]
  await succeed('docker', [...started, '/app/docker/entrypoint.mjs'])
  try {
    const made = 'until test -f /exchange/node-9.card.json; do sleep 0.2; done; ls /passphrase; cat /data/node.yaml'
    const printed = await succeed('docker', ['exec', name, 'sh', '-c', made])
    expectEqual([printed.includes('provider: dstack'), printed.includes('passphrase')], [true, false], printed)
  } finally {
    await succeed('docker', ['rm', '--force', '--volumes', name])
  }
}

/** A report directory as the kernel makes it, but for what stands in it: no kernel answers here. */
async function makeReport(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true })
  const files = {
    provider: ['tdx_guest\n', 0o444],
    generation: ['0\n', 0o444],
    inblob: ['', 0o200],
    outblob: ['q', 0o444],
  }
  for (const [name, [text, mode]] of Object.entries(files) as [string, [string, number]][]) {
    await writeFile(join(directory, name), text)
    await chmod(join(directory, name), mode)
  }
  return directory
}

export const OVERLAY_STEPS: readonly Step[] = [
  [
    'under dstack a node has its quotes from the guest agent, and nothing else from it',
    async (cluster) => {
      const socket = cluster.file('dstack.sock')
      const agent = await startTestAgent(socket, 'app', ({ path }) => ({
        text: JSON.stringify(typeof path === 'string' ? { key: derivedKey('app', path) } : { quote: 'c0ffee' }),
      }))
      try {
        await chmod(socket, 0o777)
        await overlaid(cluster, 'compose.dstack.yml', { DSTACK_SOCKET: socket })
        const { status, body } = await askForQuote(`0x${'07'.repeat(32)}`)
        expectEqual([status, body['provider'], body['quote']], [200, 'dstack', '0xc0ffee'], 'the quote')
        expectEqual([...new Set(agent.requests.map(({ url }) => url))], ['/GetQuote'], 'what the agent was asked')
        await makeSealedByAgent(socket)
        expectEqual(new Set(agent.requests.map(({ url }) => url)).size, 2, 'kinds of questions to the agent')
      } finally {
        await agent.close()
      }
    },
  ],
  [
    'in a TDX guest a node writes to its own report directory without any right',
    async (cluster) => {
      const report = await makeReport(cluster.file('report/node-1'))
      await succeed(join(root, 'deploy/tdx/prepare-report.sh'), ['1000', report])
      await overlaid(cluster, 'compose.tdx.yml', { TDX_REPORTS: cluster.file('report'), TDX_DEVICE: '/dev/null' })
      // Nobody counts the writes here, so that the node believes no quote; but it was let in.
      const { status, body } = await askForQuote(`0x${'08'.repeat(32)}`)
      expectEqual([status, JSON.stringify(body).includes('attestation-unavailable')], [503, true], 'the answer')
      expectEqual((await readFile(join(report, 'inblob'))).length, 64, 'bytes of report data')
    },
  ],
]
