package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/switch/bus"
)

// source is where a journal is read from: the data folder of a stopped switch, or
// a NATS cluster, running switches or not.
type source struct {
	data, nats, key, ca string
	number              uint16 // of the shard's journal, from zero
}

func (s *source) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.nats, "nats", "", "read the journal of this NATS cluster instead, also while switches run on it")
	f.StringVar(&s.key, "nats-journal", "", "credentials of the journal's account there; default: creds/journal.nk of the data folder")
	f.StringVar(&s.ca, "nats-ca", "", "certificate authority of the cluster, PEM")
}

// journalFrom opens a journal for reading. stop closes it.
func (a *app) journalFrom(s *source) (store journal.Store, stop func(), err error) {
	dir := cmp.Or(s.data, a.env("TONGMA_DATA"))
	if s.nats != "" {
		return openRemoteStore(s, dir)
	}
	if dir == "" {
		return nil, nil, failf(exitUsage, "no data folder was named").then("--data DIR")
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, nil, fileError(err).then("name the data folder of a switch: --data DIR", "or the cluster that keeps the journal: --nats URL")
	}
	return a.openStore(dir)
}

func openRemoteStore(s *source, dir string) (journal.Store, func(), error) {
	cfg := external(&config{NATS: s.nats, NATSJournal: s.key, NATSCA: s.ca, Data: dir}, nil)
	nc, err := bus.ConnectJournal(*cfg)
	if err != nil {
		return nil, nil, &exitError{code: exitUnreachable, err: err, next: []string{"--nats-journal FILE, or --data DIR with creds/" + journalKey + ".nk"}}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	store, err := findJournalOf(ctx, nc, s.number)
	if err != nil {
		nc.Close()
		return nil, nil, &exitError{code: exitNotFound, err: fmt.Errorf("%s: %w", s.nats, err)}
	}
	return store, nc.Close, nil
}
