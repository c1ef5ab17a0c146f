# Terminals are login shells, for which /etc/profile sets PATH anew.
PATH=/opt/quaderno/bin:$PATH
[ -z "$VIRTUAL_ENV" ] || PATH=$VIRTUAL_ENV/bin:$PATH
