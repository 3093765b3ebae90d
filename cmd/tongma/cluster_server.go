package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/switch/bus"
)

// memberFlags are what `tongma cluster server` is told.
type memberFlags struct {
	name, data, listen, routesListen, routes, accounts string
	cert, key, ca                                      string
}

func newClusterServerCmd(a *app) *cobra.Command {
	var s memberFlags
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run one NATS server of the cluster that switches keep their journal on, or one alone",
		Example: `  tongma cluster server --name n1 --data n1 --accounts accounts.conf
  tongma cluster server --name n1 --data n1 --accounts accounts.conf --listen 127.0.0.1:4221 \
    --routes-listen 127.0.0.1:6221 --routes 127.0.0.1:6221,127.0.0.1:6222,127.0.0.1:6223`,
		Long: `The same server that a switch embeds, as one of a cluster: it keeps one copy of every stream, syncs each message, and lets
in whom accounts.conf names ("tongma cluster accounts"). Three of them, on three machines, survive the loss of any one. It
takes the place of a nats-server that somebody would have to set up, and does nothing else. Without --routes it is alone: enough
for several shards on one machine, and for trying things out.

Outside loopback it needs certificates: --tls-cert and --tls-key, for clients and for the other servers, and --tls-ca, by
which it knows the other servers.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runMember(cmd.Context(), &s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.name, "name", "", "name of this server, another one for each")
	f.StringVar(&s.data, "data", "", "folder of this server's copy, not a switch's")
	f.StringVar(&s.accounts, "accounts", "", "file that \"tongma cluster accounts\" wrote")
	f.StringVar(&s.listen, "listen", "127.0.0.1:4222", "address for switches and participants")
	f.StringVar(&s.routesListen, "routes-listen", "127.0.0.1:6222", "address for the other servers")
	f.StringVar(&s.routes, "routes", "", "routes-listen addresses of all servers, with commas between; none: it is alone")
	f.StringVar(&s.cert, "tls-cert", "", "PEM file of this server's certificate")
	f.StringVar(&s.key, "tls-key", "", "PEM file of its key")
	f.StringVar(&s.ca, "tls-ca", "", "PEM file of the authority of the other servers' certificates")
	require(cmd, "name", "data", "accounts")
	_ = cmd.MarkFlagDirname("data")
	return cmd
}

// runMember serves until it is told to stop.
func (a *app) runMember(ctx context.Context, s *memberFlags) error {
	accounts, err := os.ReadFile(s.accounts)
	if err != nil {
		return fileError(err)
	}
	var routes []string
	if s.routes != "" {
		routes = strings.Split(s.routes, ",")
	}
	m, err := bus.StartMember(bus.MemberConfig{Name: s.name, Dir: s.data, Listen: s.listen, RoutesListen: s.routesListen,
		Routes: routes, Accounts: string(accounts), TLS: bus.TLS{Cert: s.cert, Key: s.key, ClientCA: s.ca}, Logger: a.logger(level("warn"))})
	if errors.Is(err, bus.ErrInUse) {
		return &exitError{code: exitConflict, err: err, next: []string{"one server at a time runs on a folder: stop the other one, or give another --data DIR"}}
	}
	if err != nil {
		return &exitError{code: exitConfig, err: err, next: []string{"see who has the ports: ss -ltnp"}}
	}
	defer m.Shutdown()
	a.say("server %s: %s  data %s", s.name, m.URL(), s.data)
	for ticker := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			a.say("stopping")
			return nil
		case <-ticker.C:
			if err := m.Err(); err != nil {
				return &exitError{code: exitFault, err: err, next: []string{"look at the disk, then start it again: the others have what it lacks"}}
			}
		}
	}
}
