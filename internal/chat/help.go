package chat

// typedHelp answers /help.
const typedHelp = `text                    a message to everyone
@ID text, /msg ID text  a message to one peer (also @ID: text and @ID, text)
/peers                  who is here
/table                  the routing table
/buffer                 waiting messages: for whom, and since when
/net                    how this peer is reached and reaches others, and why
/join HOST:PORT         dial another peer, and so join its network to this one
/cancel                 list messages without a receipt, numbered, newest first
/cancel N, /cancel @ID  withdraw one of these, or all for one peer; a copy that is
                        on its way, or that others keep for it, may still arrive
/status                 this peer: identity, network, uptime, what waits
/history, /history N    what was said last (20 messages, or N)
/search TEXT            messages with that text, in letters of any case
/whois ID               its key and pin, since when it is here, how it is reached
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
/quit                   leave (so do Ctrl-C and Ctrl-D)
To send a text that begins with / or @, double that character. Blanks before it
make no difference.`
