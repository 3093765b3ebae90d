package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/bus"
)

func newServeCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the switch",
		Example: `  tongma serve --data /var/lib/tongma --directory market.yaml
  tongma serve --config tongma.yaml
  tongma serve --data DIR --nats-listen 0.0.0.0:4222 --tls-cert cert.pem --tls-key key.pem`,
		Long: "The data folder holds everything that lasts: the journal, the directory's versions, the participants' keys\n" +
			"(creds/), and the checkpoint. One switch at a time runs on it.\n\n" +
			"Without a directory, and on a folder that has none, it runs the sandbox market with simulated wallets, and says so.",
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
// written any more: then it ends, since its books may be ahead of the journal.
func (a *app) serve(ctx context.Context, cfg config) error {
	if cfg.Data == "" {
		return &exitError{code: exitUsage, err: errors.New("serve needs a data folder: --data DIR")}
	}
	var directory []byte
	if cfg.Directory != "" {
		data, err := os.ReadFile(cfg.Directory)
		if err != nil {
			return &exitError{code: exitConfig, err: err}
		}
		directory = data
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
	n, err := newNode(ctx, nodeConfig{data: cfg.Data, isoListen: cfg.ISO8583Listen, httpListen: cfg.HTTPListen, natsListen: cfg.NATSListen,
		tls: bus.TLS{Cert: cfg.TLSCert, Key: cfg.TLSKey}, directory: directory, sandbox: cfg.Sandbox, agent: sandboxAgent(cfg.Sandbox), logger: a.logger(level(cfg.LogLevel))})
	if err != nil {
		return err
	}
	defer n.Close()
	if market {
		sims, err := startSimulators(ctx, n, 1)
		if err != nil {
			return err
		}
		defer sims.stop()
	}
	a.say("tongma %s serving: http://%s  %s  iso8583 %s  data %s", buildVersion(), n.httpAddr, n.natsURL, n.isoAddr, cfg.Data)
	var window <-chan time.Time
	if cfg.WindowEvery > 0 {
		ticker := time.NewTicker(cfg.WindowEvery)
		defer ticker.Stop()
		window = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			a.say("stopping")
			return nil
		case <-n.engine.Ledger().Stopped():
			return &exitError{code: exitFault, err: fmt.Errorf("the journal has stopped: %w", n.engine.Ledger().Err()), money: "unknown",
				next: []string{"look at the disk, then start again: what is open is finished from the journal"}}
		case <-window:
			if s, err := n.engine.CloseWindow(ctx, 0); err != nil {
				n.cfg.logger.Error("window not closed", "err", err)
			} else {
				n.cfg.logger.Info("window closed", "window", s.Window.String())
			}
		}
	}
}

// sandboxMarket tells whether a switch runs on the built-in market: no directory
// was given, and the folder has none or has that one.
func sandboxMarket(cfg config) (bool, error) {
	if cfg.Directory != "" {
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
