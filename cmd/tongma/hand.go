package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/api"
)

// newWindowHandCmd makes the command for one thing that a person can say of an
// instruction.
func newWindowHandCmd(a *app, action, short, long string) *cobra.Command {
	var ch change
	var body api.HandBody
	var part, currency string
	example := "  tongma window " + action + " win_000001 PKX4ZQ7T... --by ann"
	if action != "dismiss" {
		example = "  tongma window " + action + ` win_000001 PKX4ZQ7T... --evidence "camt.053 0817, entry 12" --by ann`
	}
	cmd := &cobra.Command{
		Use:     action + " WINDOW INSTRUCTION",
		Short:   short,
		Example: example,
		Long:    long,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := windowArgument(args[0])
			if err != nil {
				return err
			}
			if part != "" {
				m, err := positiveOf("--part", part, currency)
				if err != nil {
					return err
				}
				body.Part = &m
			}
			return ch.run(cmd, a, "/v1/windows/"+id.String()+"/instructions/"+url.PathEscape(args[1])+"/"+action, body, a.showHand)
		},
	}
	ch.flags(cmd, false)
	a.completeInstructions(cmd, &ch.t)
	if action == "dismiss" {
		return cmd
	}
	cmd.Flags().StringVar(&body.Evidence, "evidence", "", "where it is to be seen, in one line of up to 64 bytes: both people name the same")
	require(cmd, "evidence")
	if action == "confirm" {
		cmd.Flags().StringVar(&part, "part", "", "how much of it moved, in major units; default: all of it")
		cmd.Flags().StringVar(&currency, "currency", "", "of the part, ISO 4217")
		cmd.MarkFlagsRequiredTogether("part", "currency")
		completeCurrency(cmd)
	}
	return cmd
}

const handLong = `Where no settlement agent is connected, or it does not answer, two people say what it did. What the first one says changes
nothing; when a second one says the same, on the same evidence, it stands as if the agent had said it.

The instruction is one of those that tongma window show lists. tongma window words lists what waits for a second person.`

func newWindowHandCmds(a *app) []*cobra.Command {
	return []*cobra.Command{
		newWindowHandCmd(a, "confirm", "Say that an instruction was carried out, as one of two people", handLong),
		newWindowHandCmd(a, "refuse", "Say that the agent refused an instruction, as one of two people", handLong+"\n\nOnce two have said it, its debtor is short and suspended; tongma window settle says who is asked next by the rules."),
		newWindowHandCmd(a, "dismiss", "Take back a word that waits for a second person", "Whoever said it may, or another. No money moves by it."),
		newWindowWordsCmd(a),
	}
}

// completeInstructions offers windows, and then what is due of the window.
func (a *app) completeInstructions(cmd *cobra.Command, t *target) {
	a.completeWindows(cmd, t)
	windows := cmd.ValidArgsFunction
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return windows(cmd, args, begun)
		}
		id, err := windowArgument(args[0])
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.complete(cmd, t, 2, func(ctx context.Context, c *client) (names []string) {
			var w api.Window
			_ = c.get(ctx, "/v1/windows/"+id.String(), &w) // without an answer there are none
			for _, in := range w.Instructions {
				names = append(names, fmt.Sprintf("%s\t%s %s %s %s", in.ID, in.Direction, in.Participant, in.Amount, in.Currency))
			}
			return names
		})
		return cmd.ValidArgsFunction(cmd, args, begun)
	}
}

func (a *app) showHand(c *client, got reply) error {
	var v api.HandDone
	if err := c.read(got, &v); err != nil {
		return err
	}
	a.print(raw(got.body), func(w io.Writer) {
		switch {
		case v.DryRun:
			fmt.Fprintln(w, "dry run, nothing was written:", clean(v.Money))
		case v.Entry != 0:
			fmt.Fprintf(w, "journal entry %d: %s\n", v.Entry, clean(v.Money))
		default:
			fmt.Fprintln(w, clean(v.Money))
		}
		if v.Waits && !v.DryRun {
			a.say("another person says the same: repeat it with --by ANOTHER")
		}
		fmt.Fprintf(w, "%s is %s\n", v.Window.Window, v.State)
	})
	return nil
}

func newWindowWordsCmd(a *app) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:     "words WINDOW",
		Short:   "List what waits for a second person's word",
		Example: "  tongma window words win_000001",
		Long:    "What one person has said that the agent did with an instruction, and covers that somebody was asked for and that have no answer.",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.aboutWindow(cmd, &t, args[0], func(ctx context.Context, c *client, id tongma.WindowID) error {
				var list api.WordList
				return a.show(ctx, c, "/v1/windows/"+id.String()+"/words", &list, func(w io.Writer) { drawWords(w, &list) })
			})
		},
	}
	t.flags(cmd)
	a.completeWindows(cmd, &t)
	return cmd
}

// wordSays are the words for what a word stands for.
var wordSays = map[string]string{"settle": "it moved", "short": "it was refused", "cover": "it was paid for who is short", "cover-refused": "it was not paid for who is short"}

func drawWords(w io.Writer, list *api.WordList) {
	if len(list.Words)+len(list.Asked) == 0 {
		fmt.Fprintf(w, "%s: nothing waits for a second person\n", list.Window)
		return
	}
	var rows [][]string
	add := func(says string, v *api.WordView) {
		who := v.Payer
		if who == "" {
			who = orSettlement(v.From)
		}
		rows = append(rows, []string{v.Instruction, says, who, orSettlement(v.To), v.Amount, v.Currency, v.Maker, v.Evidence})
	}
	for i := range list.Words {
		says := wordSays[list.Words[i].Says]
		add(strings.TrimSpace(says), &list.Words[i])
	}
	for i := range list.Asked {
		add("asked for, no answer yet", &list.Asked[i])
	}
	showTable(w, []column{left("instruction"), left("says"), left("from"), left("to"), right("amount"), left(""), left("first said by"), left("evidence")}, rows)
}
