// An OpenID Connect server for tests: oidc-provider, with people and machines given as JSON in
// PEOPLE and MACHINES (claims by id), on ISSUER's port. With TLS_FILE (key and certificate) over TLS.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Provider } from "oidc-provider";

const { ISSUER, AUDIENCE, CALLBACK, CLIENT_ID, CLIENT_SECRET, TLS_FILE } = process.env;
const PEOPLE = JSON.parse(process.env.PEOPLE);
const MACHINES = JSON.parse(process.env.MACHINES);
const SECONDS = Number(process.env.SECONDS);
const OURS = ["roles", "guardian_id", "provider_id", "payer_code", "source", "family"];

const key = (kid) => ({
  ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }),
  kid, use: "sig", alg: "RS256",
});

const provider = new Provider(ISSUER, {
  jwks: { keys: [key(`key-${Date.now()}`)] },
  cookies: { keys: ["only for tests"] },
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: [CALLBACK],
      post_logout_redirect_uris: [new URL("/", CALLBACK).href],
    },
    { client_id: "another", client_secret: CLIENT_SECRET, redirect_uris: [CALLBACK] },
    ...Object.keys(MACHINES).map((id) => ({
      client_id: id,
      client_secret: CLIENT_SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    })),
  ],
  pkce: { required: () => true },
  claims: { openid: ["sub", ...OURS] },
  // What is asked for by `openid` stands in the identity token.
  conformIdTokenClaims: false,
  findAccount: (_, id) =>
    id in PEOPLE ? { accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) } : undefined,
  extraTokenClaims: (_, token) => MACHINES[token.clientId],
  ttl: { ClientCredentials: SECONDS, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx) => (ctx.oidc.params?.grant_type === "client_credentials" ? AUDIENCE : undefined),
      getResourceServerInfo: (_, audience) => ({
        scope: "", audience, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  // Nobody is asked for consent: the cabinet is the region's own.
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      accountId: ctx.oidc.session.accountId,
      clientId: ctx.oidc.client.clientId,
    });
    grant.addOIDCScope("openid");
    await grant.save();
    return grant;
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  if (ctx.method === "GET") {
    ctx.type = "html";
    ctx.body = `<!doctype html><title>Log in</title><form method="post">
      <input name="login" aria-label="login"><button>Log in</button></form>`;
    return;
  }
  const parts = [];
  for await (const part of ctx.req) parts.push(part);
  const login = new URLSearchParams(Buffer.concat(parts).toString()).get("login");
  const result = login in PEOPLE ? { login: { accountId: login } } : { error: "access_denied" };
  await provider.interactionFinished(ctx.req, ctx.res, result);
  ctx.respond = false;
});

provider.on("server_error", (_, error) => console.error(error));
const { hostname, port } = new URL(ISSUER);
if (TLS_FILE) {
  const pem = readFileSync(TLS_FILE);
  createServer({ key: pem, cert: pem }, provider.callback()).listen(Number(port), hostname);
} else {
  provider.listen(Number(port), hostname);
}
