import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { deploymentPath, yamlDocuments } from '../support/deployment-files.ts'

/** The overlays for Intel TDX guests, each laid over `docker/compose.yml`: read as compose does, and by compose itself where it is installed. */

interface Bind {
  readonly type: string
  readonly source: string
  readonly target: string
}
interface Service {
  readonly [name: string]: unknown
  readonly volumes: readonly Bind[]
  readonly environment: Readonly<Record<string, string>>
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>
}
const BASE = 'docker/compose.yml'
const read = (file: string): Compose => yamlDocuments(file)[0] as Compose
const base = read(BASE)

const HARDENED = {
  read_only: true,
  cap_drop: ['ALL'],
  security_opt: ['no-new-privileges:true'],
  privileged: false,
  ulimits: { core: 0 },
}
/** What each lets in: a report directory of the node's own, or the agent's socket; nothing is made where it is missing. */
const OVERLAYS = [
  {
    file: 'docker/compose.tdx.yml',
    devices: [expect.stringMatching(/:\/dev\/tdx_guest:r$/) as unknown],
    bind: { type: 'bind', source: expect.stringMatching(/tsm\/report}\/node-[1-5]$/) as unknown, target: '/report' },
    environment: { TKMS_ATTESTATION_PROVIDER: 'tdx', TKMS_ATTESTATION_REPORT_DIRECTORY: '/report' },
  },
  {
    file: 'docker/compose.dstack.yml',
    devices: undefined,
    bind: {
      type: 'bind',
      source: expect.stringContaining('/var/run/dstack.sock') as unknown,
      target: '/var/run/dstack.sock',
    },
    environment: { TKMS_ATTESTATION_PROVIDER: 'dstack', NODE_SEALER: 'dstack' },
  },
] as const
const composes = [['docker', 'compose'], ['docker-compose']].filter(
  ([program = '', ...args]) => spawnSync(program, [...args, 'version']).status === 0,
)

describe.each(OVERLAYS)('$file', ({ file, devices, bind, environment }) => {
  const overlay = read(file)

  test('is laid over every node, and only over nodes that there are', () => {
    expect(Object.keys(overlay.services).toSorted()).toEqual(Object.keys(base.services).toSorted())
  })

  test.each(Object.entries(overlay.services))('hardens %s, and lets it have quotes', (_name, service) => {
    expect(service).toMatchObject(HARDENED)
    expect(service['tmpfs']).toEqual([expect.stringMatching(/^\/tmp:.*noexec/)])
    expect(service['devices']).toEqual(devices)
    expect(service.volumes).toEqual([bind])
    expect(service.environment).toEqual(environment)
  })

  test('gives every node a report directory of its own, or all the one socket', () => {
    const sources = new Set(Object.values(overlay.services).map(({ volumes: [first] }) => first?.source))
    expect(sources.size).toBe(devices === undefined ? 1 : 5)
  })

  test.skipIf(composes.length === 0)('is taken by compose itself', { timeout: 60_000 }, async () => {
    const [program = '', ...args] = composes[0] ?? []
    const files = [BASE, file].flatMap((path) => ['-f', deploymentPath(path)])
    const { stdout } = await promisify(execFile)(program, [...args, ...files, 'config'], { timeout: 50_000 })
    const merged = parse(stdout) as Compose
    expect(Object.keys(merged.services)).toHaveLength(5)
    for (const [name, service] of Object.entries(merged.services)) {
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
      expect(service.environment).toMatchObject({ NODE_NAME: name, ...environment })
      expect(JSON.stringify(service.volumes)).toContain(bind.target)
    }
  })
})
