import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

interface Manifest {
  readonly license?: string
  readonly dependencies?: Readonly<Record<string, string>>
}

const packages = ['packages/dkg', 'packages/curve-native', 'packages/kms-node', 'packages/kms-client', 'proto']
const manifests = packages.map((path) => ({ path, manifest: JSON.parse(read(`${path}/package.json`)) as Manifest }))

describe('the repository', () => {
  it.each(manifests)('$path pins exact versions that docs/dependencies.md explains', ({ manifest }) => {
    const explained = read('docs/dependencies.md')
    const external = Object.entries(manifest.dependencies ?? {}).filter(([name]) => !name.startsWith('@tkms/'))
    expect(external.length).toBeGreaterThan(0)
    for (const [name, version] of external) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/)
      expect(explained).toContain(`\`${name}\``)
    }
  })

  it('gives the pure package nothing but the three @noble packages', () => {
    const { dependencies } = JSON.parse(read('packages/dkg/package.json')) as Manifest
    expect(Object.keys(dependencies ?? {})).toEqual(['@noble/ciphers', '@noble/curves', '@noble/hashes'])
  })

  it('keeps the pure JavaScript fallback of secp256k1 out of the tree', () => {
    expect(read('pnpm-lock.yaml')).not.toMatch(/^ {2}elliptic@/m)
  })

  it.each(manifests)('$path says Apache-2.0', ({ manifest }) => {
    expect(manifest.license).toBe('Apache-2.0')
  })
})
