import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const WORTH_BYTES = 1024;

/** Beside each file a smaller one, so that the server need not compress. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle({ dir }) {
      for (const entry of readdirSync(dir!, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (!entry.isFile() || entry.name.endsWith(".gz")) continue;
        const bytes = readFileSync(path);
        const small = gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION });
        if (bytes.length > WORTH_BYTES && small.length < bytes.length) writeFileSync(`${path}.gz`, small);
      }
    },
  };
}

const server = process.env.BATCHROUTER_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), compressed()],
  // The policy of the page allows no data: scripts, and one small request more costs nothing.
  build: { outDir: "dist", assetsInlineLimit: 0, modulePreload: { polyfill: false }, target: "es2022" },
  server: { proxy: { "/v1": server, "/admin": server, "/openapi.json": server } },
});
