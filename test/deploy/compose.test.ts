import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { deploymentPath, yamlDocuments } from '../support/deployment-files.ts'

/** `docker/compose.tdx.yml` laid over `docker/compose.yml`: read as compose does, and by compose itself where it is installed. */

interface Service {
  readonly [name: string]: unknown
  readonly volumes: readonly string[]
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>
}
const FILES = ['docker/compose.yml', 'docker/compose.tdx.yml'] as const
const [base, overlay] = FILES.map((file) => yamlDocuments(file)[0] as Compose)
if (base === undefined || overlay === undefined) throw new Error('there are two files')

const HARDENED = {
  read_only: true,
  cap_drop: ['ALL'],
  security_opt: ['no-new-privileges:true'],
  privileged: false,
  ulimits: { core: 0 },
}
const composes = [['docker', 'compose'], ['docker-compose']].filter(
  ([program = '', ...args]) => spawnSync(program, [...args, 'version']).status === 0,
)

describe('docker/compose.tdx.yml', () => {
  test('is laid over every node, and only over nodes that there are', () => {
    expect(Object.keys(overlay.services).toSorted()).toEqual(Object.keys(base.services).toSorted())
  })

  test.each(Object.entries(overlay.services))('hardens %s, and lets it have quotes', (_name, service) => {
    expect(service).toMatchObject(HARDENED)
    expect(service['tmpfs']).toEqual([expect.stringMatching(/^\/tmp:.*noexec/)])
    expect(service['devices']).toEqual([expect.stringMatching(/\/dev\/tdx_guest$/)])
    expect(service.volumes.map((volume) => volume.slice(volume.lastIndexOf(':') + 1))).toEqual([
      '/sys/kernel/config/tsm',
      '/var/run/dstack.sock',
    ])
  })

  test.skipIf(composes.length === 0)('is taken by compose itself', { timeout: 60_000 }, async () => {
    const [program = '', ...args] = composes[0] ?? []
    const files = FILES.flatMap((file) => ['-f', deploymentPath(file)])
    const { stdout } = await promisify(execFile)(program, [...args, ...files, 'config'], { timeout: 50_000 })
    const merged = parse(stdout) as { readonly services: Readonly<Record<string, object>> }
    expect(Object.keys(merged.services)).toHaveLength(5)
    for (const service of Object.values(merged.services))
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
    expect(JSON.stringify(merged.services['node-1'])).toContain('/sys/kernel/config/tsm')
    expect(JSON.stringify(merged.services['node-1'])).toContain('/dev/tdx_guest')
  })
})
