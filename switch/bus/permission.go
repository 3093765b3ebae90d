package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/tongma/tongma"
)

// Accounts of the embedded server.
const (
	journalAccount = "JOURNAL"
	switchAccount  = "TONGMA"
	systemAccount  = "SYS"
)

// EventConsumer is the durable pull consumer on a participant's event stream.
const EventConsumer = "feed"

// asked are the operations that a participant may ask the switch for.
var asked = []string{"pay", "resolve", "transfer", "inquire", "reverse", "refund", "complete", "release"}

// Participant is one NKey user of the TONGMA account.
type Participant struct {
	ID        tongma.ParticipantID
	PublicKey string            // of its NKey user, "U..."
	Schemes   []tongma.SchemeID // whose adapter it may serve
	Deals     bool              // exchanges currencies: may serve its own quotes
	Asks      bool              // may ask the switch: an acquirer, or a wallet
}

// ServiceName is what the micro service of a scheme's adapter must be called:
// discovery is allowed under this name only.
func ServiceName(s tongma.SchemeID) string { return "adapter-" + string(s) }

// AnswersTo tells whether the switch may answer a request of p at reply: only in
// p's own inbox, and there only at a subject without wildcards.
func AnswersTo(p tongma.ParticipantID, reply string) bool {
	rest, own := strings.CutPrefix(reply, tongma.InboxPrefix(p)+".")
	return own && rest != "" && !strings.ContainsAny(rest, "*> \t\r\n")
}

// rights is what a participant may publish and subscribe to, and whether it may
// answer what it is asked.
type rights struct {
	publish, subscribe []string
	answers            bool
}

func (p *Participant) rights() rights {
	var r rights
	if p.Asks {
		for _, operation := range asked {
			r.publish = append(r.publish, "tm.v1."+string(p.ID)+"."+operation)
		}
	}
	stream := tongma.EventStream(p.ID)
	r.publish = append(r.publish,
		"$JS.API.STREAM.INFO."+stream,
		"$JS.API.STREAM.MSG.GET."+stream,
		"$JS.API.CONSUMER.CREATE."+stream+".>",
		"$JS.API.CONSUMER.DELETE."+stream+".>",
		"$JS.API.CONSUMER.INFO."+stream+".>",
		"$JS.API.CONSUMER.MSG.NEXT."+stream+".>",
		"$JS.ACK."+stream+".>",
		"$JS.FC."+stream+".>",
	)
	r.subscribe = []string{tongma.InboxPrefix(p.ID) + ".>", tongma.EventSubject(p.ID, ">")}
	for _, s := range p.Schemes {
		r.answers = true
		r.subscribe = append(r.subscribe, "tm.v1.adapter."+string(s)+".>")
		r.subscribe = append(r.subscribe, discovery(s)...)
	}
	if own := tongma.SchemeID(p.ID); p.Deals && !slices.Contains(p.Schemes, own) {
		r.answers = true
		r.subscribe = append(r.subscribe, tongma.DealerSubject(p.ID))
		r.subscribe = append(r.subscribe, discovery(own)...)
	}
	if r.answers {
		r.subscribe = append(r.subscribe, "$SRV.PING", "$SRV.INFO", "$SRV.STATS")
	}
	return r
}

// discovery is where the micro service of an adapter is found.
func discovery(s tongma.SchemeID) (subjects []string) {
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		service := "$SRV." + verb + "." + ServiceName(s)
		subjects = append(subjects, service, service+".*")
	}
	return subjects
}

// checkParticipants reports every participant that may not be let in.
func checkParticipants(participants []Participant) error {
	var wrong []error
	ids, keys := map[tongma.ParticipantID]bool{}, map[string]bool{}
	servers := map[tongma.SchemeID]tongma.ParticipantID{}
	for i, p := range participants {
		fail := func(format string, args ...any) {
			wrong = append(wrong, fmt.Errorf("bus: participant %d (%q): %s", i, p.ID, fmt.Sprintf(format, args...)))
		}
		switch {
		case !p.ID.Valid():
			fail("not a participant's id")
		case ids[p.ID]:
			fail("there twice")
		case !nkeys.IsValidPublicUserKey(p.PublicKey):
			fail("public key is not one of an NKey user")
		case keys[p.PublicKey]:
			fail("has the key of another")
		}
		ids[p.ID], keys[p.PublicKey] = true, true
		for _, s := range p.Schemes {
			if !s.Valid() {
				fail("scheme %q: not a scheme's id", s)
			} else if other, taken := servers[s]; taken {
				fail("scheme %s is served by %s", s, other)
			}
			servers[s] = p.ID
		}
	}
	for i, p := range participants {
		if other, taken := servers[tongma.SchemeID(p.ID)]; p.Deals && taken && other != p.ID {
			wrong = append(wrong, fmt.Errorf("bus: participant %d (%q): deals under the name of a scheme that %s serves", i, p.ID, other))
		}
	}
	return errors.Join(wrong...)
}
