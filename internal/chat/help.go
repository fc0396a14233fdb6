package chat

// typedHelp answers /help.
const typedHelp = `text                    a message to everyone, or to the room in front
@ID text, /msg ID text  a message to one peer (also @ID: text and @ID, text)
/join #name             enter a room, and put it in front; what was last said there
                        follows. @#name text goes to a room that is not in front
/room #name, /room @ID  put a room, or one peer, in front; /room alone: everyone
/part #name             leave a room; alone: the one in front
/rooms                  the rooms that you are in, and who is in them
/me TEXT                say what you do
/r TEXT                 reply to who has written to you alone last
/reply TEXT             reply to the last message of another in front
/edit TEXT, /delete     change or take back your last message in front: the others
                        are asked to show that; what they have kept, they may keep
/react EMOJI            react to the last message of another in front
/away TEXT, /back       say to the others that you are away; end that
/peers                  who is here (also /who and /names)
/table                  the routing table
/buffer                 waiting messages: for whom, and since when
/net                    how this peer is reached and reaches others, and why
/join HOST:PORT         dial another peer, and so join its network to this one
/cancel                 list messages without a receipt, numbered, newest first
/cancel N, /cancel @ID  withdraw one of these, or all for one peer, also from those
                        who keep it; a copy that is on its way may still arrive
/send ID FILE...        offer files and directories to a peer, a #room or everyone (*);
                        a name with blanks stands in quotes; Tab completes
/get N, /get N DIR      take the files of offer N: here, or into a directory
/files, /files N        how files stand; all names of one offer
/drop N                 withdraw an offer, or decline or stop that of another
/status                 this peer: identity, network, uptime, what waits
/history, /history N    what was said last (20 messages, or N)
/search TEXT            messages with that text, in letters of any case
/whois ID               its key and pin, since when it is here, how it is reached
/ping ID                measure a round trip by the way that messages take
/trust ID               go on with the new key of a peer; what waits is delivered to it
/verify ID              the safety number to compare with that peer's user; /verify ID ok
                        notes that it is the same
/forget ID              let go of a peer's key: the next message may go to another one
/invite ID              in a private network: make a ticket for ID, good once
                        (/invite ID admin: ID may invite and remove as well)
/qr                     the last ticket as a QR code
/uninvite ID            make the tickets for ID void
/remove ID              take a member out for good (/remove ID all: and all that
                        it has done as an admin)
/ignore ID              refuse what that peer writes to this one, and hide what it
                        writes to everyone; alone: list who is ignored
/unignore ID            the reverse; what came meanwhile is not shown
/full, /line            full screen, and back (also F2)
/next                   the next conversation with unread messages (also Alt-A)
/joins off, /joins on   hide who comes and goes; show it again
/notify all|mentions|off
                        of which messages in front a bell tells you while you look
                        at another window
/quit                   leave (so do Ctrl-D and, twice, Ctrl-C on an empty line)
On a terminal: Alt-Enter begins a new line, Tab completes, Ctrl-R searches what was
typed before, Up changes the last message, Alt-1 to Alt-9 and Alt-Left and Alt-Right
put a conversation in front; in full screen PgUp and PgDn scroll, F3 searches.
To send a text that begins with / or @, double that character. Blanks before it
make no difference.`
