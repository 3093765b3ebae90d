package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/bus"
)

const serveHelp = `The data folder holds everything that lasts: the journal, the directory's versions, the participants' keys
(creds/), and the checkpoint. One switch at a time runs on it.

Without a directory, and on a folder that has none, it runs the sandbox market with simulated wallets, and says so.

With --nats the journal is in a NATS cluster that somebody else runs ("tongma cluster accounts" writes its accounts),
and several switches may run on it, each on a folder of its own. One writes. The others have --standby: they keep the
books warm, and one takes over about a second after the writer was lost. A switch that was deposed stands by. All may be
started with the same settings.

On SIGHUP the writer reads --directory again and brings it into force while payments go on: participants, schemes, dealers
and agents that are new are let in, asked and told without a restart. A file that cannot be read or is refused changes
nothing, and is said.

Without --standby a switch takes over at once. That is how a new directory comes into force if its file is elsewhere: restart
one that stands by with --directory and without --standby. Who stands by finds the directory beside the journal, and takes its own only on a
journal that has none; it does not lead with another than the journal's, and says so at /readyz.

Folders of one cluster have the same creds/: see "tongma cluster credentials".

With --shard K/N the switch is one of N shards, each with a journal of its own on the same NATS, started with the same
directory. A payment is held in the shard in which whoever pays is at home; any shard takes any request. Windows are closed
and settled by the first shard, for all. All go by the directory of the first: SIGHUP at any of them brings it into force in all,
once the first one has taken it. Shards may join later, when each of the others has been started
again as one of so many; none can leave.`

func newServeCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the switch",
		Example: `  tongma serve --data /var/lib/tongma --directory market.yaml
  tongma serve --config tongma.yaml
  tongma serve --data DIR --nats-listen 0.0.0.0:4222 --tls-cert cert.pem --tls-key key.pem
  tongma serve --data DIR --nats nats://n1:4222,nats://n2:4222,nats://n3:4222 --standby --directory market.yaml`,
		Long: serveHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.settings(cmd)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), cfg)
		},
	}
	addListenFlags(cmd)
	return cmd
}

// serve runs the switch until it is told to stop, or until its journal cannot be
// written any more: then it ends, since its books may be ahead of the journal, or
// stands by if another switch may have taken over.
func (a *app) serve(ctx context.Context, cfg config) error {
	if cfg.Data == "" {
		return &exitError{code: exitUsage, err: errors.New("serve needs a data folder: --data DIR")}
	}
	var directory []byte
	if cfg.Directory != "" {
		data, err := os.ReadFile(cfg.Directory)
		if err != nil {
			return &exitError{code: exitConfig, err: err, next: []string{"write one to begin with: tongma directory init --out " + cfg.Directory}}
		}
		if _, err := schemes.Parse(1, data); err != nil { // before anything is touched
			return directoryError(cfg.Directory, err)
		}
		directory = data
	}
	if err := usableFolder(cfg.Data); err != nil {
		return err
	}
	market, err := sandboxMarket(cfg)
	if err != nil {
		return err
	}
	if market {
		// Nobody has said who takes part: there is one market that we know by heart.
		directory, cfg.Sandbox = schemes.Sandbox(), true
		a.say("no --directory: this is the SANDBOX market with simulated wallets, not for production")
	}
	logger := a.logger(level(cfg.LogLevel))
	n, err := newGround(ctx, nodeConfig{data: cfg.Data, isoListen: cfg.ISO8583Listen, httpListen: cfg.HTTPListen, natsListen: cfg.NATSListen,
		tls: bus.TLS{Cert: cfg.TLSCert, Key: cfg.TLSKey}, external: external(&cfg, logger), replicas: cfg.Replicas, admit: cfg.AdmitStandby, standby: cfg.Standby, shard: cfg.Shard, shards: cfg.Shards,
		directory: directory, sandbox: cfg.Sandbox, logger: logger})
	if err != nil {
		return err
	}
	defer n.Close()
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	for {
		if n.cfg.standby {
			a.say("tongma %s standing by: http://%s  %s  data %s", buildVersion(), n.httpAddr, n.natsURL, cfg.Data)
		}
		err := n.takeOffice(ctx)
		if err == nil {
			err = a.inOffice(ctx, n, cfg, market, again)
			n.leaveOffice()
		}
		switch {
		case ctx.Err() != nil:
			a.say("stopping")
			return nil
		case !n.standAgain(err):
			return err
		}
		// Another switch has taken over, or the journal was away too long: this one
		// forgets its books, which may be ahead of the journal, and reads them again.
		a.say("out of office: %v", err)
		n.cfg.standby = true
		select {
		case <-ctx.Done():
		case <-time.After(time.Second / 2):
		}
	}
}

// external says which NATS a switch runs on if it has none of its own. Keys that
// are not named are those of its folder.
func external(cfg *config, logger *slog.Logger) *bus.External {
	if cfg.NATS == "" {
		return nil
	}
	creds := func(named, usual string) bus.Credentials {
		path := cmp.Or(named, filepath.Join(cfg.Data, "creds", usual))
		if _, err := os.Stat(path); named == "" && err != nil {
			return bus.Credentials{}
		}
		if strings.HasSuffix(path, ".creds") {
			return bus.Credentials{File: path}
		}
		return bus.Credentials{Seed: path}
	}
	return &bus.External{URL: cfg.NATS, CA: cfg.NATSCA, Journal: creds(cfg.NATSJournal, journalKey+".nk"), Switch: creds(cfg.NATSSwitch, switchKey+".nk"),
		System: creds(cfg.NATSSystem, systemSeed), AllowUnseen: cfg.AllowUnseen, Logger: logger}
}

// inOffice runs the switch until it is told to stop, which is no error, or until
// its journal cannot be written any more, by it. At each again it reads the directory.
func (a *app) inOffice(ctx context.Context, n *node, cfg config, market bool, again <-chan os.Signal) error {
	if market {
		sims, err := startSimulators(ctx, n, 1)
		if err != nil {
			return err
		}
		defer sims.stop()
	}
	a.say("tongma %s serving: http://%s  %s  iso8583 %s  data %s", buildVersion(), n.httpAddr, n.natsURL, n.isoAddr, cfg.Data)
	ctx, cancel := context.WithCancel(ctx)
	kept := make(chan error, 2)
	go func() { kept <- n.keepTime(ctx, cfg.WindowEvery, cfg.SettleClosed) }()
	go func() { kept <- n.desk.RunDisputeClock(ctx, time.Minute, n.disputesLate) }()
	defer func() { cancel(); <-kept; <-kept }()
	select {
	case <-again: // told while it stood by, where the directory comes from the journal
	default:
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.engine.Ledger().Stopped():
			return stoppedError(n.engine.Ledger().Err())
		case <-again:
			a.readAgain(ctx, n, cfg.Directory)
		case b := <-n.brings:
			b.done <- a.bringIn(ctx, n, b.source)
		}
	}
}

// disputesLate logs why disputes whose deadline has passed are not ended.
func (n *node) disputesLate(err error) { n.cfg.logger.Error("disputes are not ended", "err", err) }

// stoppedError says why a switch is no longer its journal's writer.
func stoppedError(err error) error {
	if tongma.ReasonOf(err) == tongma.SteppedDown {
		return &exitError{code: exitConflict, err: fmt.Errorf("another switch has taken over: %w", err), money: "unknown",
			next: []string{"ask the other one: it has every payment that was answered here"}}
	}
	return &exitError{code: exitFault, err: fmt.Errorf("the journal has stopped: %w", err), money: "unknown",
		next: []string{"look at the disk, then start again: what is open is finished from the journal"}}
}

// sandboxMarket tells whether a switch runs on the built-in market: no directory
// was given, and the folder has none or has that one.
func sandboxMarket(cfg config) (bool, error) {
	if cfg.Directory != "" || cfg.NATS != "" {
		return false, nil
	}
	folder := filepath.Join(cfg.Data, "directory")
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	registry, err := schemes.OpenRegistry(folder)
	if err != nil {
		return false, &exitError{code: exitConfig, err: err}
	}
	current := registry.Current()
	return current == nil || bytes.Equal(current.Source(), schemes.Sandbox()), nil
}

// logger writes JSON lines to stderr, or nothing when quiet.
func (a *app) logger(level slog.Level) *slog.Logger {
	if a.quiet {
		level = slog.LevelError
	}
	return slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level}))
}

func level(name string) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) != nil {
		return slog.LevelInfo
	}
	return l
}
