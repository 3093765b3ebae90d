package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/schemes"
)

func newSimCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:     "sim",
		Short:   "Run simulated counterparts of a switch, each a service of its own",
		Example: "  tongma sim agent --data agent --directory market.yaml\n  tongma sim wallets --data DIR --nats nats://n1:4222",
	}, newSimAgentCmd(a), newSimWalletsCmd(a), newSimAccountsCmd(a), newSimFundCmd(a), newSimFaultCmd(a), newSimStatementCmd(a))
}

// agentFlags are what `tongma sim agent` is told.
type agentFlags struct {
	data, directory, id, listen string
	duplicates                  string
	backDated                   bool
}

func newSimAgentCmd(a *app) *cobra.Command {
	var s agentFlags
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "A settlement agent, SIMULATED: ISO 20022 over HTTP, with accounts and planted faults",
		Example: `  tongma sim agent --data agent                                     the sandbox market's agent
  tongma sim agent --data agent --directory market.yaml --agent rtgs`,
		Long: `It holds the accounts that the directory names for this agent: each participant's begins with as much money as its net
debit cap, for once. It takes pacs.009, pacs.010, pacs.029 and camt.050, answers pacs.002 and camt.025, and reports
camt.053 and camt.054. Its books are in one file of the data folder, synced before each answer.

Its rules are those of real systems, which differ: a settlement date that has passed is refused (DT01), unless --back-dated
takes it for today's; an id that was taken before is refused (AM05), whatever became of it: its status says that. With
--duplicates day it is looked for within the business day only, and behind that carried out anew; with answer a repeat is
answered as it was first. No money moves by what is refused.

creds/agent.token is the switch's: put it into the switch's folder as creds/agent.ID.token, and the address into the
directory. creds/admin.token opens /admin, where money and faults come from: see the other commands here.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.simulateAgent(cmd.Context(), &s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.data, "data", "", "folder of the agent's books and tokens, not a switch's")
	f.StringVar(&s.directory, "directory", "", "YAML file of participants and agents; default: the sandbox market")
	f.StringVar(&s.id, "agent", "", "which agent of the directory; default: the only one")
	f.StringVar(&s.listen, "listen", "127.0.0.1:8490", "address to listen on")
	f.StringVar(&s.duplicates, "duplicates", string(agentsim.RefuseDuplicates), "what it does with an id that it has taken: refuse, day or answer")
	f.BoolVar(&s.backDated, "back-dated", false, "take a settlement date that has passed for today's")
	require(cmd, "data")
	_ = cmd.MarkFlagDirname("data")
	return cmd
}

func (a *app) simulateAgent(ctx context.Context, s *agentFlags) error {
	d, err := a.goodDirectory(s.directory)
	if err != nil {
		return err
	}
	agent, err := oneAgent(d, schemes.AgentID(s.id))
	if err != nil {
		return err
	}
	rules := agentsim.Rules{Duplicates: agentsim.Duplicates(s.duplicates), BackDated: s.backDated}
	if !slices.Contains(agentsim.DuplicateRules(), rules.Duplicates) {
		return failf(exitUsage, "there is no rule %q for duplicates", s.duplicates).then("--duplicates refuse, day or answer")
	}
	server, err := openAgent(s.data, d, agent, 1, rules)
	if err != nil {
		return err
	}
	addr, err := server.listen(s.listen)
	if err != nil {
		return errors.Join(err, server.Close(ctx))
	}
	a.say("SIMULATED settlement agent %s: http://%s  token %s", agent.ID, addr, filepath.Join(s.data, "creds", "agent.token"))
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	return server.close(ending)
}

// oneAgent finds the agent that is meant.
func oneAgent(d *schemes.Directory, id schemes.AgentID) (*schemes.Agent, error) {
	all := d.Agents()
	switch agent, ok := d.Agent(id); {
	case ok:
		return agent, nil
	case len(all) == 0:
		return nil, failf(exitConfig, "the directory names no settlement agent").then("add a section agents: (tongma directory --help)")
	case id == "" && len(all) == 1:
		return all[0], nil
	}
	e := failf(exitUsage, "which of the directory's agents is meant?")
	for _, agent := range all {
		e.then("--agent " + string(agent.ID))
	}
	return nil, e
}

// agentServer is the simulator, with the tokens that open it.
type agentServer struct {
	*agentsim.Server
	dir   string
	token string // the switch's
	admin string
}

// openAgent opens the books of a simulated agent below a folder, with the
// accounts that the directory names, each with so many times its cap.
func openAgent(dir string, d *schemes.Directory, agent *schemes.Agent, times int64, rules agentsim.Rules) (*agentServer, error) {
	s := &agentServer{dir: dir}
	for name, token := range map[string]*string{"agent": &s.token, "admin": &s.admin} {
		var err error
		if *token, err = ownToken(filepath.Join(dir, "creds", name+".token")); err != nil {
			return nil, &exitError{code: exitConfig, err: err}
		}
	}
	var err error
	s.Server, err = agentsim.New(agentsim.Options{Path: filepath.Join(dir, "agent.jsonl"), Token: s.token, Admin: s.admin, Accounts: accountsAt(d, agent, times), Rules: rules, Zone: zoneAt(d, agent, time.Now()),
		Party: iso20022.Party{Name: agent.Who.Name, BIC: agent.Who.BIC, Other: agent.Who.ID, Scheme: agent.Who.IDKind}})
	if err != nil {
		return nil, &exitError{code: exitConfig, err: err}
	}
	return s, nil
}

func (s *agentServer) listen(address string) (string, error) {
	addr, err := s.Listen(address)
	if err != nil {
		return "", &exitError{code: exitUnreachable, err: err, next: []string{"give another address with --listen HOST:PORT"}}
	}
	return addr.String(), tellWhere(s.dir, nodeFile{HTTP: "http://" + addr.String()})
}

// close ends the service and takes its address away.
func (s *agentServer) close(ctx context.Context) error {
	return errors.Join(os.Remove(filepath.Join(s.dir, "node.json")), s.Close(ctx))
}

// ownToken reads a token, and makes it if it is not there.
func ownToken(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := writeSecret(path, []byte("tm_"+rand.Text()+"\n")); err != nil {
			return "", err
		}
	}
	return agentsim.ReadToken(path)
}

// zoneAt is where a simulated agent's days are counted: where the schedules live of the
// models that it settles, UTC for one that has none; of several, where the day is the
// earliest, so that no date of today is refused as yesterday's.
func zoneAt(d *schemes.Directory, agent *schemes.Agent, now time.Time) *time.Location {
	var found *time.Location
	earliest := 0
	take := func(zone *time.Location) {
		if _, ahead := now.In(zone).Zone(); found == nil || ahead < earliest {
			found, earliest = zone, ahead
		}
	}
	for _, m := range d.Models() {
		if !slices.ContainsFunc(agent.Currencies, func(c tongma.Currency) bool { a, ok := d.AgentFor(m.ID, c); return ok && a.ID == agent.ID }) {
			continue
		}
		zone := time.UTC
		if m.Schedule != nil {
			if there, err := time.LoadLocation(m.Schedule.Zone()); err == nil {
				zone = there
			}
		}
		take(zone)
	}
	return cmp.Or(found, time.UTC)
}

// accountsAt lists the accounts that an agent holds by the directory. A
// participant begins with so many times the money that it may owe.
func accountsAt(d *schemes.Directory, agent *schemes.Agent, times int64) (all []agentsim.Account) {
	open := func(id schemes.AccountID, c tongma.Currency, kind agentsim.Kind, who schemes.Institution, mandate string, balance int64) {
		if number := cmp.Or(id.IBAN, id.Other); number != "" {
			all = append(all, agentsim.Account{ID: number, Currency: c, Code: c.Code(), Kind: kind, Owner: cmp.Or(who.BIC, who.ID), Mandate: mandate, Balance: balance})
		}
	}
	funds := map[tongma.ParticipantID]bool{}
	for _, r := range d.AllDefaultRules() {
		funds[r.Fund] = true
	}
	for _, c := range agent.Currencies {
		open(agent.Settlement[c], c, agentsim.Settlement, agent.Switch, "", 0)
		for _, p := range d.Participants() {
			at, ok := p.Account(agent.ID, c)
			if !ok {
				continue
			}
			kind := agentsim.Participant
			if funds[p.ID] && p.Service {
				kind = agentsim.Guarantee
			}
			open(at.ID, c, kind, at.Holder, at.Mandate, times*min(p.Caps[c], tongma.MaxMinor/times))
			open(at.Prefunding, c, agentsim.Prefunding, at.Holder, "", 0)
		}
	}
	return all
}
