package main

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes/keyring"
)

// walletFlags are what `tongma sim wallets` is told.
type walletFlags struct{ data, directory, nats string }

func newSimWalletsCmd(a *app) *cobra.Command {
	var s walletFlags
	cmd := &cobra.Command{
		Use:     "wallets",
		Short:   "The wallets and merchants' banks of a directory, SIMULATED, on the NATS of a switch",
		Example: `  tongma sim wallets --data DIR --nats nats://n1:4222,nats://n2:4222,nats://n3:4222 --directory market.yaml`,
		Long: `One wallet for each participant that runs a scheme and whose key is in the data folder of a switch (creds/). It connects
as the participant would, and says yes to every payer's code but those whose digits ask for something else, as in
"tongma demo". Its books are in memory: they are gone when it stops.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.simulateWallets(cmd.Context(), &s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.data, "data", "", "data folder of a switch, for the participants' keys")
	f.StringVar(&s.directory, "directory", "", "YAML file of participants and schemes; default: the sandbox market")
	f.StringVar(&s.nats, "nats", "", "NATS of the switch, several URLs with commas between; default: that of the switch that runs on the folder")
	require(cmd, "data")
	_ = cmd.MarkFlagDirname("data")
	return cmd
}

func (a *app) simulateWallets(ctx context.Context, s *walletFlags) error {
	d, err := a.goodDirectory(s.directory)
	if err != nil {
		return err
	}
	url := s.nats
	if url == "" {
		node, err := readNodeFile(s.data)
		if err != nil {
			return err
		}
		url = node.NATS
	}
	keys, err := keyring.Open(s.data)
	if err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	logger := a.logger(level("warn"))
	sims, err := simulate(ctx, d, 1, logger, func(p tongma.ParticipantID) (*nats.Conn, error) { return dialAs(keys, p, url, logger) })
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) {
		return &exitError{code: exitUnreachable, err: err, next: []string{"look at --nats"}}
	}
	if err != nil {
		return err
	}
	defer sims.stop()
	a.say("%d SIMULATED wallets and banks on %s", len(sims.rigs), url)
	<-ctx.Done()
	return nil
}
