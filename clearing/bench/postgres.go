//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is a PostgreSQL server for this run alone: in a temporary folder, on a
// Unix socket, with its durability as it comes.
type cluster struct {
	bin, dir string
	as       *syscall.Credential // PostgreSQL refuses to be root
}

// postgresSchema is the task as one would give it to a database: two functions
// that lock the rows they change, check the limit, and know a repeat by its id.
const postgresSchema = `
CREATE TABLE account (id int PRIMARY KEY, cap bigint NOT NULL, position bigint NOT NULL DEFAULT 0, reserved bigint NOT NULL DEFAULT 0);
CREATE TABLE transfer (id bigint PRIMARY KEY, debtor int NOT NULL, creditor int NOT NULL, amount bigint NOT NULL, posted boolean NOT NULL DEFAULT false);
CREATE SEQUENCE ids CACHE 1000;
INSERT INTO account SELECT n, 9000000000000000 FROM generate_series(0, 7) n;

CREATE FUNCTION reserve(transfer_id bigint, debtor_id int, creditor_id int, minor bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO transfer (id, debtor, creditor, amount) VALUES (transfer_id, debtor_id, creditor_id, minor) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    PERFORM FROM transfer WHERE id = transfer_id AND debtor = debtor_id AND creditor = creditor_id AND amount = minor;
    IF NOT FOUND THEN RAISE 'exists, with another content'; END IF;
    RETURN transfer_id;
  END IF;
  UPDATE account SET reserved = reserved + minor WHERE id = debtor_id AND position + reserved + minor <= cap;
  IF NOT FOUND THEN RAISE 'over the limit'; END IF;
  RETURN transfer_id;
END $$;

CREATE FUNCTION post(transfer_id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE t transfer%ROWTYPE;
BEGIN
  UPDATE transfer SET posted = true WHERE id = transfer_id AND NOT posted RETURNING * INTO t;
  IF NOT FOUND THEN
    PERFORM FROM transfer WHERE id = transfer_id;
    IF NOT FOUND THEN RAISE 'not reserved'; END IF;
    RETURN false;
  END IF;
  PERFORM FROM account WHERE id IN (t.debtor, t.creditor) ORDER BY id FOR UPDATE;
  UPDATE account SET reserved = reserved - t.amount, position = position + t.amount WHERE id = t.debtor;
  UPDATE account SET position = position - t.amount WHERE id = t.creditor;
  RETURN true;
END $$;
`

const postgresScript = `\set debtor random(0, 7)
\set creditor (:debtor + random(1, 7)) % 8
\set minor random(1, 5000)
SELECT reserve(nextval('ids'), :debtor, :creditor, :minor) AS id \gset
SELECT post(:id);
`

// postgresCheck returns no row if the books are what the transfers make them.
const postgresCheck = `
WITH moved AS (
  SELECT id, coalesce((SELECT sum(amount) FROM transfer WHERE posted AND debtor = a.id), 0)
           - coalesce((SELECT sum(amount) FROM transfer WHERE posted AND creditor = a.id), 0) AS position,
         coalesce((SELECT sum(amount) FROM transfer WHERE NOT posted AND debtor = a.id), 0) AS reserved
  FROM account a)
SELECT account.id FROM account JOIN moved USING (id) WHERE account.position <> moved.position OR account.reserved <> moved.reserved
UNION ALL SELECT -1 FROM account HAVING sum(position) <> 0`

// postgresClients are those of the comparison; a connection is a process there.
var postgresClients = []int{1, 16, 64}

// measurePostgres adds PostgreSQL's figures, or a note that says why there are none.
func measurePostgres(s settings, dir string, r *report) (err error) {
	c, why := newCluster(dir)
	if why != "" {
		r.Notes = append(r.Notes, "PostgreSQL was not measured: "+why)
		return nil
	}
	if err := c.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	version, err := c.run("", "postgres", "--version")
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, "PostgreSQL is "+strings.TrimSpace(version)+", fsync and synchronous_commit on, two PL/pgSQL functions, pgbench -M prepared over a Unix socket; measured behind the others, in rounds of its own")
	for _, clients := range postgresClients {
		var samples []sample
		for range s.rounds {
			one, err := c.pgbench(clients, s.slice)
			if err != nil {
				return err
			}
			samples = append(samples, one)
		}
		t := transferOf("postgres", clients, samples)
		t.P99, t.CPU = spread{}, spread{} // pgbench gives the mean latency only
		r.Transfers = append(r.Transfers, t)
	}
	wrong, err := c.run(postgresCheck, "psql", "-h", c.dir, "-U", "bench", "-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1")
	if err == nil && strings.TrimSpace(wrong) != "" {
		err = fmt.Errorf("the database's books differ from its transfers for accounts %q", strings.Fields(wrong))
	}
	return err
}

// newCluster finds PostgreSQL and a user that may run it, or says what is missing.
func newCluster(dir string) (*cluster, string) {
	c := &cluster{dir: filepath.Join(dir, "postgres")}
	if c.bin = findPostgres(); c.bin == "" {
		return nil, "initdb, pg_ctl and pgbench are neither in PATH nor in /usr/lib/postgresql"
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return nil, err.Error()
	}
	if os.Getuid() != 0 {
		return c, ""
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(os.Chown(c.dir, int(uid), int(gid)), os.Chmod(dir, 0o711)); err != nil {
			return nil, err.Error()
		}
		c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}
		return c, ""
	}
	return nil, "it refuses to run as root, and there is neither a user postgres nor nobody"
}

// findPostgres returns the folder with its programs; the newest, if several.
func findPostgres() string {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("pgbench"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	for i := len(folders) - 1; i >= 0; i-- {
		whole := true
		for _, program := range []string{"initdb", "pg_ctl", "postgres", "psql", "pgbench"} {
			_, err := os.Stat(filepath.Join(folders[i], program))
			whole = whole && err == nil
		}
		if whole {
			return folders[i]
		}
	}
	return ""
}

// run runs one of its programs to the end, and returns what it printed.
func (c *cluster) run(stdin, program string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(c.bin, program), args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), "LC_ALL=C", "HOME="+c.dir)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	cmd.WaitDelay = time.Second
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return out.String(), fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}

func (c *cluster) start() error {
	data, script := filepath.Join(c.dir, "data"), filepath.Join(c.dir, "transfer.sql")
	if _, err := c.run("", "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"); err != nil {
		return err
	}
	settings := fmt.Sprintf("-c listen_addresses= -c unix_socket_directories=%s -c fsync=on -c synchronous_commit=on -c shared_buffers=512MB -c max_connections=100", c.dir)
	if _, err := c.run("", "pg_ctl", "-D", data, "-w", "-t", "60", "-l", filepath.Join(c.dir, "log"), "-o", settings, "start"); err != nil {
		return err
	}
	_, err := c.run(postgresSchema, "psql", "-h", c.dir, "-U", "bench", "-d", "postgres", "-Xq", "-v", "ON_ERROR_STOP=1")
	if err == nil {
		err = os.WriteFile(script, []byte(postgresScript), 0o644)
	}
	if err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *cluster) stop() error {
	_, err := c.run("", "pg_ctl", "-D", filepath.Join(c.dir, "data"), "-w", "-t", "60", "-m", "fast", "stop")
	return err
}

// What pgbench prints of a run.
var (
	pgbenchCount   = regexp.MustCompile(`(?m)^number of transactions actually processed: (\d+)`)
	pgbenchFailed  = regexp.MustCompile(`(?m)^number of failed transactions: (\d+)`)
	pgbenchLatency = regexp.MustCompile(`(?m)^latency average = ([0-9.]+) ms`)
	pgbenchRate    = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
)

// pgbench runs whole transfers, each of two transactions, for about so long.
func (c *cluster) pgbench(clients int, slice time.Duration) (sample, error) {
	seconds := max(int(slice.Round(time.Second).Seconds()), 1)
	out, err := c.run("", "pgbench", "-h", c.dir, "-U", "bench", "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)),
		"-T", strconv.Itoa(seconds), "-f", filepath.Join(c.dir, "transfer.sql"), "postgres")
	if err != nil {
		return sample{}, err
	}
	figure := func(re *regexp.Regexp) float64 {
		if m := re.FindStringSubmatch(out); m != nil {
			v, _ := strconv.ParseFloat(m[1], 64)
			return v
		}
		return 0
	}
	s := sample{Payments: uint64(figure(pgbenchCount)), P50: figure(pgbenchLatency) * 1000}
	if rate := figure(pgbenchRate); rate > 0 && s.Payments > 0 && figure(pgbenchFailed) == 0 {
		s.Seconds = float64(s.Payments) / rate
		return s, nil
	}
	return s, fmt.Errorf("pgbench says %q", out)
}
