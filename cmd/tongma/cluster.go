package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/keyring"
	"github.com/tongma/tongma/switch/bus"
)

// systemSeed is the file below creds/ with the key of the cluster's system
// account. It does not end as participants' keys do, so that none can be it.
const systemSeed = "system.seed"

func newClusterCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "cluster",
		Short: "Prepare a NATS cluster, run its servers, and the switches that stand by on it",
		Example: `  tongma cluster accounts --data DIR --directory market.yaml > accounts.conf
  tongma cluster credentials --data DIR --out DIR2
  tongma cluster server --name n1 --data n1 --accounts accounts.conf --routes n1:6222,n2:6222,n3:6222`,
	}, newClusterAccountsCmd(a), newClusterCredentialsCmd(a), newClusterServerCmd(a))
}

func newClusterAccountsCmd(a *app) *cobra.Command {
	var data, directory string
	cmd := &cobra.Command{
		Use:   "accounts",
		Short: "Write the accounts of a NATS cluster that a switch is to run on",
		Example: `  tongma cluster accounts --data DIR --directory market.yaml > accounts.conf
  # in the configuration of every nats-server:
  #   jetstream { store_dir: "/var/lib/nats", sync_interval: always }
  #   include accounts.conf`,
		Long: `Three accounts: one for the journal, which only switches enter; one for participants, each with the rights that it would
have on the embedded server; and the system account, by which the switch sees how the servers store. Keys that are missing
are made below creds/ of the data folder: journal.nk, switch.nk, system.seed, and those of participants whose key the folder
keeps. Write it again when the directory has changed, and have the servers reload.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			source, err := os.ReadFile(directory)
			if err != nil {
				return fileError(err)
			}
			text, err := accountsFor(data, source)
			if err != nil {
				return directoryError(directory, err)
			}
			a.print(struct {
				Accounts string `json:"accounts"`
			}{text}, func(w io.Writer) { _, _ = io.WriteString(w, text) })
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data folder that the keys are in")
	cmd.Flags().StringVar(&directory, "directory", "", "YAML file of participants and schemes")
	require(cmd, "data", "directory")
	_ = cmd.MarkFlagDirname("data")
	return cmd
}

func accountsFor(data string, directory []byte) (string, error) {
	d, err := schemes.Parse(1, directory)
	if err != nil {
		return "", &exitError{code: exitConfig, err: err}
	}
	keys, err := keyring.Open(data)
	if err != nil {
		return "", &exitError{code: exitConfig, err: err}
	}
	peer, err := peerOf(data, keys)
	if err != nil {
		return "", err
	}
	participants, err := admitted(d, keys)
	if err != nil {
		return "", err
	}
	return bus.Accounts([]bus.Peer{peer}, participants)
}

// The names under which the keyring has a switch's own keys, where no participant
// can be called so.
const (
	journalKey = "journal"
	switchKey  = "switch"
)

// peerOf returns the public keys by which a switch enters a NATS that is not its
// own, and makes the keys if there are none.
func peerOf(data string, keys *keyring.Keyring) (peer bus.Peer, err error) {
	for name, public := range map[tongma.ParticipantID]*string{journalKey: &peer.Journal, switchKey: &peer.Switch} {
		key, err := keys.Generate(name)
		if err != nil {
			return peer, &exitError{code: exitConfig, err: err}
		}
		*public = key.PublicKey()
	}
	if peer.System, err = systemKey(filepath.Join(data, "creds", systemSeed)); err != nil {
		return peer, &exitError{code: exitConfig, err: err}
	}
	return peer, nil
}

// systemKey returns the public key of the system account's user, and makes the
// seed if there is none.
func systemKey(path string) (string, error) {
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			return "", err
		}
		if seed, err = pair.Seed(); err != nil {
			return "", err
		}
		if err := writeSecret(path, seed); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	pair, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return "", fmt.Errorf("%s holds no NKey seed", path)
	}
	return pair.PublicKey()
}

func writeSecret(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func newClusterCredentialsCmd(a *app) *cobra.Command {
	var data, out string
	cmd := &cobra.Command{
		Use:     "credentials",
		Short:   "Copy what another switch of the same journal must have into its folder",
		Example: `  tongma cluster credentials --data DIR --out DIR2`,
		Long: `The keys by which it enters NATS, the secret that stands in for payers' codes, the participants' and the operator's tokens,
and the keys of participants that the folder keeps: all of creds/. They are secrets: take DIR2 to the other machine over a
safe way. A file that is there already must be the same. The directory is not copied: whoever stands by finds it beside
the journal.

For a switch with the embedded NATS, which is started with --admit-standby, this makes the three keys if there are none;
they count from its next start.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := os.Stat(data); err != nil {
				return fileError(err)
			}
			keys, err := keyring.Open(data)
			if err != nil {
				return &exitError{code: exitConfig, err: err}
			}
			if _, err := peerOf(data, keys); err != nil {
				return err
			}
			copied, err := copyCredentials(filepath.Join(data, "creds"), filepath.Join(out, "creds"))
			if err != nil {
				return err
			}
			a.print(struct {
				Copied []string `json:"copied"`
			}{copied}, func(w io.Writer) { fmt.Fprintln(w, strings.Join(copied, "\n")) })
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "data folder of a switch")
	cmd.Flags().StringVar(&out, "out", "", "data folder of the other one")
	require(cmd, "data", "out")
	_ = cmd.MarkFlagDirname("data")
	_ = cmd.MarkFlagDirname("out")
	return cmd
}

// copyCredentials copies the secrets of a folder to another that lacks them.
func copyCredentials(from, to string) (copied []string, err error) {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return nil, fileError(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, fileError(err)
	}
	copied = []string{}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return copied, fileError(err)
		}
		path := filepath.Join(to, e.Name())
		err = writeSecret(path, content)
		if errors.Is(err, fs.ErrExist) {
			there, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(there, content) {
				return copied, failf(exitConflict, "%s is there, and is another", path)
			}
			continue
		}
		if err != nil {
			return copied, fileError(err)
		}
		copied = append(copied, e.Name())
	}
	return copied, nil
}
