/**
 * How service accounts become clients: invited under a name, signed up with the invitation's token, logged in by name and
 * password, removed with everything that is theirs.
 * Invariant: account, project, rights, password and client come in one change and go in one; a name that nobody has, or
 * one whose account is gone, costs a login what a known one costs.
 */
import type { CommitChange } from "../audit/change.ts";
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { ALL_PROJECTS, type Binding } from "../policy/decide.ts";
import { StoreConflict, type Write } from "../storage/store.ts";
import type { Account, Accounts } from "./accounts.ts";
import { clientProjectName, type Client, type Clients } from "./clients.ts";
import type { ClientParts, Login, Logins } from "./logins.ts";
import { assertPassword, type Passwords } from "./passwords.ts";
import type { Projects } from "./projects.ts";
import type { Sessions } from "./sessions.ts";
import type { Signups } from "./signups.ts";

export const clientRoles = ["client", "admin"] as const;
/** `admin` may invite, see, change and remove clients besides. */
export type ClientRole = (typeof clientRoles)[number];

/** The built-in roles that clients have: each in its own project, and administrators of clients everywhere. */
const CLIENT_ROLE = "client";
const ADMIN_ROLE = "client-admin";
/** How long a removed client's project is kept. */
const PROJECT_DAYS = 30;

export interface ClientAccountsOptions {
  readonly clients: Clients;
  readonly accounts: Accounts;
  readonly projects: Projects;
  readonly passwords: Passwords;
  readonly sessions: Sessions;
  readonly signups: Signups;
  readonly logins: Logins;
  /** What a client is when it has signed up. */
  readonly defaultRole: ClientRole;
  /** Milliseconds. */
  readonly now: () => number;
}

/** A client with its role, as administrators see it. */
export interface ShownClient {
  readonly client: Client;
  readonly role: ClientRole;
}

export interface ClientLoginInput {
  readonly clientName: string;
  readonly password: string;
  /** The client's, and as limits count it. */
  readonly address: string;
  readonly limitedAddress: string;
}

export class ClientAccounts {
  readonly #options: ClientAccountsOptions;

  constructor(options: ClientAccountsOptions) {
    this.#options = options;
  }

  /** Makes a token with which one client of this name can sign up, once. Throws `client_exists`. */
  async invite(
    clientName: string,
    ttlSeconds: number,
    commit: CommitChange,
  ): Promise<{ readonly token: string; readonly expiresAt: string }> {
    const { clients, signups } = this.#options;
    if ((await clients.byName(clientName)) !== undefined) throw new KeysteadError("client_exists");
    const { token, signup } = await signups.create(
      {
        name: await clients.accountName(clientName),
        kind: "service",
        ttlSeconds,
        bindings: [],
        client: clientName,
      },
      commit,
    );
    return { token, expiresAt: signup.expiresAt };
  }

  /** Makes the client that an invitation allows, with a password, and logs it in. Throws `client_exists`. */
  async redeem(
    token: string,
    password: string,
    address: string,
    commit: CommitChange,
    onKnown: (account: Account) => void,
  ): Promise<Login> {
    const { clients, logins, defaultRole } = this.#options;
    try {
      return await logins.redeem(token, password, address, commit, onKnown, async (clientName) =>
        this.#parts(clientName, defaultRole, await clients.drawNumber()),
      );
    } catch (error) {
      if (error instanceof KeysteadError && error.code === "account_exists")
        throw new KeysteadError("client_exists", { cause: error });
      throw error;
    }
  }

  /** Logs a client in. Throws `unauthenticated`, `rate_limited`, `busy`. */
  async login(
    { clientName, password, address, limitedAddress }: ClientLoginInput,
    commit: CommitChange,
    onKnown: (account: Account) => void,
  ): Promise<Login> {
    const { accounts, clients, logins } = this.#options;
    const client = await clients.byName(clientName);
    const account = await accounts.stored(client?.accountId ?? randomId());
    const input = { account: `client ${clientName}`, password, address, limitedAddress };
    return logins.prove(account, input, commit, onKnown);
  }

  /** All clients with their roles. */
  async list(): Promise<ShownClient[]> {
    const { accounts, clients } = this.#options;
    const shown: ShownClient[] = [];
    for await (const client of clients.all()) {
      const account = await accounts.byId(client.accountId);
      if (account !== undefined) shown.push({ client, role: roleOf(account.bindings) });
    }
    return shown;
  }

  /** The account of a client. Throws `client_not_found`. */
  async accountOf(number: number): Promise<{ readonly client: Client; readonly account: Account }> {
    const client = await this.#options.clients.byNumber(number);
    const account = await this.#options.accounts.stored(client.accountId);
    if (account === undefined) throw new KeysteadError("client_not_found");
    return { client, account };
  }

  /** Makes a client an administrator of clients, or one no more. */
  async setRole(
    account: Account,
    role: ClientRole,
    along: readonly Write[],
    commit: CommitChange,
  ): Promise<Account> {
    return this.#options.accounts.rebind(
      account.name,
      (bindings) => {
        if (role === "client") return bindings.filter((binding) => !isAdminBinding(binding));
        return bindings.some(isAdminBinding) ? bindings : [...bindings, adminBinding()];
      },
      { change: "role", role },
      commit,
      along,
    );
  }

  /**
   * Removes an account with everything that is its own. Where it is a client its project goes too, in 30 days, and its name
   * is free.
   */
  async remove(account: Account, along: readonly Write[], commit: CommitChange): Promise<void> {
    const ending = await this.#ending(account);
    try {
      await this.#options.accounts.remove(account, [...ending.writes, ...along], commit);
    } finally {
      ending.done();
    }
  }

  /** What goes with an account, whether it is a client or not. */
  async #ending({ id, name }: Account): Promise<{ readonly writes: readonly Write[]; done(): void }> {
    const { clients, passwords, projects, sessions, signups, now } = this.#options;
    const ending = await sessions.ending(id);
    const client = await clients.ofAccount(id);
    const project =
      client === undefined ? undefined : await projects.ending(client.projectId, PROJECT_DAYS, now());
    return {
      writes: [
        ...ending.writes,
        passwords.ending(id),
        clients.ending(id),
        signups.endingName(name),
        ...(project?.writes ?? []),
      ],
      done: () => {
        ending.done();
        project?.done();
      },
    };
  }

  /**
   * Makes the first client of all, an administrator; does nothing where there ever was one. Its number is used up in the
   * same change: a start that is cut off before leaves nothing, and the next one makes it.
   */
  async makeFirst(clientName: string, password: string, commit: CommitChange): Promise<boolean> {
    const { accounts, clients, passwords } = this.#options;
    if (await clients.everAny()) return false;
    assertPassword(password);
    const name = await clients.accountName(clientName);
    const first = clients.firstNumber();
    const parts = this.#parts(clientName, "admin", first.number);
    const { account, write } = accounts.making(name, "service", parts.bindings);
    const setting = await passwords.setting(account.id, password);
    try {
      const writes = [first.write, write, ...(await parts.writes(account)), ...setting];
      await commit(writes, { resource: `account:${name}` });
    } catch (error) {
      // Another node was faster.
      if (error instanceof StoreConflict) return false;
      throw error;
    }
    return true;
  }

  #parts(clientName: string, role: ClientRole, number: number): ClientParts {
    const { clients, projects } = this.#options;
    const { project, write } = projects.making(clientProjectName());
    const own: Binding = { id: randomId(), role: CLIENT_ROLE, project: project.id };
    return {
      bindings: role === "admin" ? [own, adminBinding()] : [own],
      writes: async ({ id: accountId, createdAt }) => [
        write,
        await clients.insert({
          number,
          name: clientName,
          accountId,
          projectId: project.id,
          project: project.name,
          createdAt,
        }),
      ],
    };
  }
}

function adminBinding(): Binding {
  return { id: randomId(), role: ADMIN_ROLE, project: ALL_PROJECTS };
}

/** One for some names only makes nobody an administrator of clients. */
function isAdminBinding({ role, project, pattern }: Binding): boolean {
  return (role === ADMIN_ROLE || role === "admin") && project === ALL_PROJECTS && pattern === undefined;
}

function roleOf(bindings: readonly Binding[]): ClientRole {
  return bindings.some(isAdminBinding) ? "admin" : "client";
}
