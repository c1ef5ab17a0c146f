"""What stands between a right password and a login, in the order of `AccountAdapter`.

Nobody is logged in before the last stage: the session only remembers who is on the way.
"""

from allauth.account.stages import EmailVerificationStage, LoginStage
from django.http import HttpResponse
from django.shortcuts import redirect, render

from quaderno.iam import policy
from quaderno.iam.models import State

Handled = tuple[HttpResponse | None, bool]


class AddressStage(EmailVerificationStage):
    """Those who ask for an account confirm their address first.

    Also for the one that an address has already (no user at all), who must not be told apart.
    People whom operators registered may have no address.
    """

    def handle(self) -> Handled:
        """Send the link, and say that it is on its way."""
        user = self.login.user
        if user is not None and user.state != State.WAITING:
            return None, True
        handled: Handled = super().handle()
        return handled


class AdmissionStage(LoginStage):
    """Accounts that are not active end here, on a page that says why, and whom to ask."""

    key = "quaderno_admission"

    def handle(self) -> Handled:
        """Explain, and forget the login."""
        user = self.login.user
        if user.is_active:
            return None, True
        return render(self.request, "iam/state.html", {"account": user}, status=403), False


class PolicyStage(LoginStage):
    """A version of the acceptable use policy that the person has not accepted yet."""

    key = "quaderno_policy"
    urlname = "policy_accept"

    def handle(self) -> Handled:
        """Ask, and go on from the answer."""
        if policy.must_accept(self.login.user):
            return redirect(self.urlname), True
        return None, True
