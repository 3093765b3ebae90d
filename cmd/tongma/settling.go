package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/settle"
)

// agents are the settlement agents that can be reached. Never changed, only replaced.
type agents struct {
	of atomic.Pointer[map[schemes.AgentID]settle.Agent]
}

// startSettling connects the settlement agents, and has windows settled by them.
func (n *node) startSettling(context.Context) error {
	n.agents.of.Store(nil)
	if err := n.connectAgents(); err != nil {
		return err
	}
	past := n.versions()
	n.settler = settle.New(settle.Options{AtOnce: settle.AtOnce, Ledger: n.engine.Ledger(), Directory: n.engine.Directory, Past: past, Agent: func(s *clearing.Sheet, c tongma.Currency) settle.Agent {
		if id, ok := settle.AgentOf(past, s, c); ok {
			if agent, there := (*n.agents.of.Load())[id]; there {
				return agent
			}
		}
		return nil
	}})
	return nil
}

// versions are those of the directory up to the one that the engine goes by, which is not
// the registry's last while that is being kept, or if it could not be.
type versions struct {
	*schemes.Registry
	inForce func() *schemes.Directory
}

// Current implements settle.Versions.
func (v versions) Current() *schemes.Directory { return v.inForce() }

func (n *node) versions() versions { return versions{n.registry, n.engine.Directory} }

// connectAgents connects the directory's settlement agents, and those that it has
// dropped, which may have been told to move money; whoever is connected stays so, and is
// spoken to where the version in force has it. One
// that has no address is people's business; in a sandbox it is simulated, as a service
// that is reached over HTTP like any other.
func (n *node) connectAgents() error {
	links := map[schemes.AgentID]settle.Agent{}
	if connected := n.agents.of.Load(); connected != nil {
		maps.Copy(links, *connected)
	}
	past := n.versions()
	for _, version := range n.registry.Versions() { // what an agent was told it is asked after, though it has left the directory since
		d, _ := n.registry.At(version)
		for _, named := range d.Agents() {
			id := named.ID
			by := func() *schemes.Directory { return settle.Naming(past, id) }
			d := by()
			if d == nil { // of a version that is not in force
				continue
			}
			agent, _ := d.Agent(id)
			if _, there := links[id]; there {
				if agent.URL == "" && !n.cfg.sandbox {
					delete(links, id)
				}
				continue
			}
			address, token, err := n.agentDoor(d, agent)
			if err != nil {
				return err
			}
			if address == agent.URL { // which another version may change
				address = ""
			}
			if address != "" || agent.URL != "" {
				links[id] = settle.NewClient(settle.ClientOptions{Agent: id, Directory: by, URL: address, Token: token})
			}
		}
	}
	n.agents.of.Store(&links)
	return nil
}

// sandboxFunds is how many times its cap a participant has at the sandbox's own
// agent: play money should not run out.
const sandboxFunds = 1000

// agentDoor returns an agent's address and the token that opens it:
// creds/agent.ID.token of the data folder, if there is one.
func (n *node) agentDoor(d *schemes.Directory, agent *schemes.Agent) (address, token string, err error) {
	if agent.URL == "" && n.cfg.sandbox {
		server, err := openAgent(filepath.Join(n.cfg.data, "agent", string(agent.ID)), d, agent, sandboxFunds, agentsim.Rules{Duplicates: agentsim.RefuseDuplicates})
		if err != nil {
			return "", "", err
		}
		n.onClose(func(ctx context.Context) { _ = server.close(ctx) })
		address, err := server.listen("127.0.0.1:0")
		return "http://" + address, server.token, err
	}
	token, err = agentsim.ReadToken(filepath.Join(n.cfg.data, "creds", "agent."+string(agent.ID)+".token"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return "", "", &exitError{code: exitConfig, err: err}
	}
	return agent.URL, token, nil
}

// keepTime closes windows when their schedules say so, until ctx ends, and has
// them settled if that is wanted.
func (n *node) keepTime(ctx context.Context, every time.Duration, settleThem bool) error {
	if n.follows() { // the head's windows, which it closes and settles for all
		<-ctx.Done()
		return nil
	}
	log := n.cfg.logger
	if settleThem {
		done := make(chan struct{})
		defer func() { <-done }()
		go func() { defer close(done); n.settleAgain(ctx) }()
	}
	clock := settle.NewClock(settle.ClockOptions{Ledger: n.engine.Ledger(), Directory: n.engine.Directory, Every: every,
		Closed: func(ctx context.Context, c settle.Closing) {
			log.Info("window closed", "window", c.Sheet.Window.String(), "model", c.Sheet.Model, "what", c.String())
			if settleThem {
				n.settleClosed(ctx, c.Sheet.Window)
			}
		},
		Fault: func(model string, err error) {
			log.Error("no cut-off is known: windows stay open", "model", model, "err", err)
		},
	})
	return clock.Run(ctx)
}

// settleEvery is how long a window waits that could not be settled, as when the agent
// was silent.
const settleEvery = time.Minute

// settleAgain settles, at once and then now and again, what a schedule has closed and
// was not settled then: we may have been stopped, or the agent silent. What was
// closed by hand is left to people.
func (n *node) settleAgain(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		var due []tongma.WindowID
		_ = n.engine.Ledger().Read(ctx, func(b *clearing.Book) { // what cannot be read now is read the next time
			sheets, _ := b.Unsettled()
			for _, s := range sheets {
				if s.Cutoff != 0 && s.State != clearing.WindowOpen {
					due = append(due, s.Window)
				}
			}
		})
		for _, id := range due { // beside each other: the agent of one may be silent for long
			all.Go(func() { n.settleClosed(ctx, id) })
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleEvery):
		}
	}
}

func (n *node) settleClosed(ctx context.Context, id tongma.WindowID) {
	if !n.awaitShards(ctx, id) {
		return // it is looked at again
	}
	report, err := n.settler.Settle(ctx, id, settle.How{})
	switch {
	case tongma.ReasonOf(err) == tongma.StateConflict || ctx.Err() != nil: // it is being settled already, or we stop
	case err != nil || !report.Done():
		n.cfg.logger.Error("window not settled", "window", id.String(), "state", report.Sheet.State.String(), "open", len(report.Open), "err", err)
	default:
		n.cfg.logger.Info("window settled", "window", id.String())
	}
}

// closeAll closes every model's open window by hand.
func (n *node) closeAll(ctx context.Context) error {
	d := n.engine.Directory()
	for _, m := range d.Models() {
		_, err := settle.Close(ctx, n.engine.Ledger(), d, m.ID, 0, time.Now())
		if err != nil && tongma.ReasonOf(err) != tongma.ModelUnknown { // nothing was ever paid in it
			return err
		}
	}
	return nil
}

// settleAll settles every closed window, and returns their sheets.
func (n *node) settleAll(ctx context.Context) (sheets []clearing.Sheet, err error) {
	var due []tongma.WindowID
	err = n.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		sheets, _ := b.Unsettled()
		for _, s := range sheets {
			if s.State != clearing.WindowOpen {
				due = append(due, s.Window)
			}
		}
	})
	for _, id := range due {
		report, err := n.settler.Settle(ctx, id, settle.How{})
		if err != nil {
			return sheets, err
		}
		if !report.Done() {
			return sheets, failf(exitInconclusive, "%s is %s: %d movements are open", id, report.Sheet.State, len(report.Open)).then("tongma window show " + id.String())
		}
		sheets = append(sheets, report.Sheet)
	}
	return sheets, err
}
